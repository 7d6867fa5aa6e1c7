// An H.323 telephone of H323Plus' stack that a test drives: it calls or is called, presses keys in each way that there
// is, tells of the keys that it receives, plays one WAV file and records what it hears in another. It needs no sound
// hardware.
//
//     keypad323 [-f] [-T] [-u NAME] [-w KINDS] [-t TRACE] [-g GATEKEEPER [-p PASSWORD] [-a PROOF]] [-F ADDRESS]
//         -i HOST:PORT -O SAID -I HEARD (-l | ADDRESS)
//
// -f starts fast, -T has H.245 on a connection of its own, -w names what it says it takes of keys (string, signal,
// rfc2833; all by default). -g registers, -a leaves only one way to prove the password (CAT, MD5, H.235.1). -F sends calls
// that come elsewhere. SAID is 16-bit mono at 8,000 Hz, and is played again and again. Commands, one a line:
//
//     q931 KEYS | string KEYS | signal KEYS | rfc2833 KEYS | transfer ADDRESS | quit
//
// It prints "ready", "established", "input WAY KEYS" for what it receives, "done" for each command, "by another way" where
// it could not press a key as it was told to, and "cleared REASON".

#include <ptlib.h>
#include <ptclib/delaychan.h>
#include <ptclib/pwavfile.h>

#ifdef __GNUC__
#define H323_STATIC_LIB
#endif

#include <h323.h>
#include <h323pdu.h>
#include <rfc2833.h>

static const unsigned RATE = 8000;
// ms between the begins of two keys: an RFC 2833 key of this stack is 180 ms long.
static const unsigned BETWEEN = 400;

static void Tell(const PString & line)
{
  static PMutex printing;
  PWaitAndSignal lock(printing);
  cout << line << endl;
}

// What it says: the samples of a file, again and again, in real time.
class Voice : public PChannel
{
  PCLASSINFO(Voice, PChannel);

public:
  explicit Voice(const PBYTEArray & sound) : m_sound(sound), m_at(0) { os_handle = 1; }
  ~Voice() { Close(); }

  PBoolean Read(void * buffer, PINDEX length)
  {
    BYTE * to = static_cast<BYTE *>(buffer);
    for (PINDEX i = 0; i < length; i++, m_at++)
      to[i] = m_sound[m_at % m_sound.GetSize()];
    lastReadCount = length;
    m_clock.Delay(length / 2 * 1000 / RATE);
    return IsOpen();
  }

  PBoolean Close() { os_handle = -1; return true; }

private:
  PBYTEArray m_sound;
  PINDEX m_at;
  PAdaptiveDelay m_clock;
};

// What it hears: written to a file as it comes.
class Ear : public PChannel
{
  PCLASSINFO(Ear, PChannel);

public:
  explicit Ear(const PString & path) : m_file(path, PFile::WriteOnly) { os_handle = m_file.IsOpen() ? 1 : -1; }
  ~Ear() { Close(); }

  PBoolean Write(const void * buffer, PINDEX length)
  {
    lastWriteCount = length;
    m_clock.Delay(length / 2 * 1000 / RATE);
    return IsOpen() && m_file.Write(buffer, length);
  }

  PBoolean Close() { os_handle = -1; return m_file.Close(); }

private:
  PWAVFile m_file;
  PAdaptiveDelay m_clock;
};

class EndPoint : public H323EndPoint
{
  PCLASSINFO(EndPoint, H323EndPoint);

public:
  H323Connection * CreateConnection(unsigned reference);

  PBoolean OnIncomingCall(H323Connection & connection, const H323SignalPDU &, H323SignalPDU &)
  {
    return m_elsewhere.IsEmpty() || !connection.ForwardCall(m_elsewhere);
  }

  // All that there are, but for those that are not wanted.
  H235Authenticators CreateAuthenticators()
  {
    H235Authenticators all = H323EndPoint::CreateAuthenticators();
    for (PINDEX i = all.GetSize(); i-- > 0;)
      if (!m_proof.IsEmpty() && m_proof != all[i].GetName())
        all.RemoveAt(i);
    return all;
  }

  H323Connection::AnswerCallResponse OnAnswerCall(
      H323Connection & connection, const PString &, const H323SignalPDU &, H323SignalPDU &)
  {
    m_token = connection.GetCallToken();
    return H323Connection::AnswerCallNow;
  }

  void OnConnectionEstablished(H323Connection & connection, const PString &)
  {
    Tell("established with " + connection.GetRemotePartyName());
  }

  void OnConnectionCleared(H323Connection & connection, const PString &)
  {
    PStringStream line;
    line << "cleared " << connection.GetCallEndReason();
    Tell(line);
  }

  PBYTEArray m_said;
  PString m_heard;
  PString m_token;
  PString m_elsewhere;
  PString m_proof;
};

class Connection : public H323Connection
{
  PCLASSINFO(Connection, H323Connection);

public:
  Connection(EndPoint & owner, unsigned reference) : H323Connection(owner, reference), m_owner(owner)
  {
    detectInBandDTMF = false;
  }

  PBoolean OpenAudioChannel(PBoolean encoding, unsigned, H323AudioCodec & codec)
  {
    PChannel * channel = encoding ? static_cast<PChannel *>(new Voice(m_owner.m_said)) : new Ear(m_owner.m_heard);
    return codec.AttachChannel(channel);
  }

  // By H.245.
  void OnUserInputIndication(const H245_UserInputIndication & input)
  {
    if (input.GetTag() == H245_UserInputIndication::e_alphanumeric) {
      const PASN_GeneralString & keys = input;
      Tell("input string " + keys.GetValue());
    } else if (input.GetTag() == H245_UserInputIndication::e_signal) {
      const H245_UserInputIndication_signal & signal = input;
      Tell("input signal " + signal.m_signalType.GetValue());
    }
  }

  // What is left for this is Q.931.
  void OnUserInputString(const PString & keys) { Tell("input q931 " + keys); }

  // And for this RFC 2833.
  void OnUserInputTone(char tone, unsigned, unsigned, unsigned) { Tell(PString("input rfc2833 ") + tone); }

private:
  EndPoint & m_owner;
};

H323Connection * EndPoint::CreateConnection(unsigned reference)
{
  return new Connection(*this, reference);
}

class Keypad323 : public PProcess
{
  PCLASSINFO(Keypad323, PProcess);

public:
  Keypad323() : PProcess("Roombridge", "keypad323", 1, 0, ReleaseCode, 0) {}
  void Main();

private:
  bool Begin(EndPoint & endpoint, PArgList & args);
  void Press(EndPoint & endpoint, const PString & way, const PString & keys);
};

PCREATE_PROCESS(Keypad323);

bool Keypad323::Begin(EndPoint & endpoint, PArgList & args)
{
  PWAVFile said(args.GetOptionString('O'), PFile::ReadOnly);
  if (!said.IsOpen() || !said.Read(endpoint.m_said.GetPointer(said.GetDataLength()), said.GetDataLength()))
    return false;
  endpoint.m_heard = args.GetOptionString('I');
  endpoint.SetLocalUserName(args.GetOptionString('u', "keypad323"));
  endpoint.DisableFastStart(!args.HasOption('f'));
  endpoint.DisableH245Tunneling(args.HasOption('T'));
  endpoint.AddAllCapabilities(0, P_MAX_INDEX, "G.711*");
  PString kinds = args.GetOptionString('w', "string,signal,rfc2833");
  if (kinds.Find("string") != P_MAX_INDEX)
    endpoint.SetCapability(0, 1, new H323_UserInputCapability(H323_UserInputCapability::BasicString));
  if (kinds.Find("signal") != P_MAX_INDEX)
    endpoint.SetCapability(0, 1, new H323_UserInputCapability(H323_UserInputCapability::SignalToneH245));
  if (kinds.Find("rfc2833") != P_MAX_INDEX)
    endpoint.SetCapability(0, 1, new H323_UserInputCapability(H323_UserInputCapability::SignalToneRFC2833));
  endpoint.m_elsewhere = args.GetOptionString('F');
  endpoint.m_proof = args.GetOptionString('a');
  PStringArray place = args.GetOptionString('i').Tokenise(":");
  if (place.GetSize() != 2
      || !endpoint.StartListener(new H323ListenerTCP(endpoint, place[0], static_cast<WORD>(place[1].AsUnsigned()))))
    return false;
  if (!args.HasOption('g'))
    return true;
  if (args.HasOption('p'))
    endpoint.SetGatekeeperPassword(args.GetOptionString('p'));
  return endpoint.SetGatekeeper(args.GetOptionString('g'), new H323TransportUDP(endpoint, place[0]));
}

void Keypad323::Press(EndPoint & endpoint, const PString & way, const PString & keys)
{
  H323Connection::SendUserInputModes mode = way == "q931" ? H323Connection::SendUserInputAsQ931
                                          : way == "string" ? H323Connection::SendUserInputAsString
                                          : way == "signal" ? H323Connection::SendUserInputAsTone
                                                            : H323Connection::SendUserInputAsInlineRFC2833;
  for (PINDEX i = 0; i < keys.GetLength(); i++) {
    H323Connection * connection = endpoint.FindConnectionWithLock(endpoint.m_token);
    if (connection == NULL)
      return;
    connection->SetSendUserInputMode(mode);
    if (connection->GetRealSendUserInputMode() != mode)
      Tell("by another way");
    connection->SendUserInput(PString(keys[i]));
    connection->Unlock();
    PThread::Sleep(BETWEEN);
  }
}

void Keypad323::Main()
{
  PArgList & args = GetArguments();
  args.Parse("f-fast.T-separate.u-user:w-ways:t-trace:g-gatekeeper:p-password:a-proof:F-forward:i-interface:O-said:I-heard:l-listen.");
  if (args.HasOption('t'))
    PTrace::Initialise(4, args.GetOptionString('t'), PTrace::DateAndTime | PTrace::TraceLevel);
  EndPoint endpoint;
  if (!Begin(endpoint, args)) {
    Tell("cannot begin");
    SetTerminationValue(1);
    return;
  }
  if (!args.HasOption('l'))
    endpoint.MakeCall(args[0], endpoint.m_token);
  Tell("ready");
  std::string line;
  while (std::getline(std::cin, line) && line != "quit") {
    PStringArray words = PString(line).Tokenise(" ", false);
    if (words.GetSize() == 2 && words[0] == "transfer")
      endpoint.TransferCall(endpoint.m_token, words[1]);
    else if (words.GetSize() == 2)
      Press(endpoint, words[0], words[1]);
    Tell("done");
  }
  endpoint.ClearAllCalls(H323Connection::EndedByLocalUser, true);
}
