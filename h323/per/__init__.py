"""Aligned PER (ITU-T X.691): a module's parsed ASN.1 becomes types that encode and decode, within bounds."""

from h323.per.bits import MAX_DEPTH, MAX_ITEMS, MAX_ITEMS_OF_ALL, MAX_PDU
from h323.per.compiler import Specification, compile_modules
from h323.per.errors import MAX_ERROR_TEXT, CompileError, DecodeError, EncodeError

__all__ = [
    "MAX_DEPTH",
    "MAX_ERROR_TEXT",
    "MAX_ITEMS",
    "MAX_ITEMS_OF_ALL",
    "MAX_PDU",
    "CompileError",
    "DecodeError",
    "EncodeError",
    "Specification",
    "compile_modules",
]
