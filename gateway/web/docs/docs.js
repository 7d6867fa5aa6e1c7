// The page that describes the API: reads openapi.json and lays it out; nothing is loaded from elsewhere.

const METHODS = ["get", "post", "patch", "delete"];

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function resolve(spec, schema) {
  if (!schema || !schema.$ref) return schema || {};
  return spec.components.schemas[schema.$ref.split("/").pop()] || {};
}

function typeOf(spec, schema) {
  if (schema.$ref) {
    const target = resolve(spec, schema);
    return target.enum ? target.enum.join(" | ") : schema.$ref.split("/").pop();
  }
  if (schema.anyOf) return schema.anyOf.map((each) => typeOf(spec, each)).join(" | ");
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.type === "array") return `list of ${typeOf(spec, schema.items || {})}`;
  return [schema.type || "any", schema.format, schema.pattern].filter(Boolean).join(", ");
}

function table(heads, rows) {
  const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col", textContent: text })));
  const lines = rows.map((row) => element("tr", {}, ...row.map((text) => element("td", { textContent: text }))));
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...lines));
}

function fields(spec, schema) {
  const shape = resolve(spec, schema);
  const needed = new Set(shape.required || []);
  const rows = Object.entries(shape.properties || {}).map(([name, each]) => [
    name, typeOf(spec, each), needed.has(name) ? "always" : "",
  ]);
  const parts = [];
  if (shape.description) parts.push(element("p", { textContent: shape.description }));
  if (rows.length) parts.push(table(["Field", "Type", ""], rows));
  for (const each of Object.values(shape.properties || {})) {
    const inner = each.type === "array" ? each.items : each;
    if (inner && inner.$ref && resolve(spec, inner).properties) {
      parts.push(element("h4", { textContent: inner.$ref.split("/").pop() }), ...fields(spec, inner));
    }
  }
  return parts;
}

function bodyOf(part) {
  return part && part.content && part.content["application/json"] && part.content["application/json"].schema;
}

function tryForm(path, method, operation) {
  const form = element("form", { className: "try" });
  for (const parameter of operation.parameters || []) {
    const input = element("input", { name: parameter.name, required: Boolean(parameter.required) });
    form.append(element("label", {}, parameter.name, input));
  }
  let body = null;
  if (operation.requestBody) {
    body = element("textarea", { value: "{}", spellcheck: false });
    body.setAttribute("aria-label", "Body of the request");
    form.append(body);
  }
  const answer = element("pre", { hidden: true, tabIndex: 0 });
  form.append(element("button", { textContent: "Send" }), answer);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    let address = path;
    const query = new URLSearchParams();
    for (const parameter of operation.parameters || []) {
      const value = form.elements[parameter.name].value;
      if (parameter.in === "path") address = address.replace(`{${parameter.name}}`, encodeURIComponent(value));
      else if (value) query.set(parameter.name, value);
    }
    const token = document.querySelector("#key").elements.token.value;
    const headers = { Authorization: `Bearer ${token}` };
    if (body) headers["Content-Type"] = "application/json";
    answer.hidden = false;
    try {
      const target = query.size ? `${address}?${query}` : address;
      const reply = await fetch(target, { method: method.toUpperCase(), headers, body: body ? body.value : undefined });
      const text = await reply.text();
      let shown = text;
      try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* no JSON: shown as it came */ }
      answer.textContent = `${reply.status} ${reply.statusText}\n${shown}`;
    } catch (error) {
      answer.textContent = String(error);
    }
  });
  return form;
}

function route(spec, path, method, operation) {
  const inside = element("div", { className: "inside" });
  for (const text of (operation.description || "").split("\n\n").filter(Boolean)) {
    inside.append(element("p", { textContent: text }));
  }
  const parameters = (operation.parameters || []).map((each) => [
    each.name, `in ${each.in}`, typeOf(spec, each.schema || {}), each.required ? "needed" : "",
  ]);
  if (parameters.length) inside.append(element("h3", { textContent: "Parameters" }), table(["Name", "Where", "Type", ""], parameters));
  const asked = bodyOf(operation.requestBody);
  if (asked) inside.append(element("h3", { textContent: "Body" }), ...fields(spec, asked));
  for (const [status, reply] of Object.entries(operation.responses || {})) {
    if (!status.startsWith("2")) continue;
    inside.append(element("h3", { textContent: `Answer ${status}` }));
    const shape = bodyOf(reply);
    inside.append(...(shape ? fields(spec, shape) : [element("p", { textContent: reply.description })]));
  }
  if (!path.endsWith("/events")) inside.append(element("h3", { textContent: "Try it" }), tryForm(path, method, operation));
  const summary = element("summary", {},
    element("span", { className: "method", textContent: method.toUpperCase() }),
    element("span", { className: "path", textContent: path }),
    element("span", { className: "text", textContent: operation.summary || "" }));
  return element("details", {}, summary, inside);
}

async function show() {
  const spec = await (await fetch("/api/openapi.json")).json();
  document.querySelector("#summary").textContent = `${spec.info.summary}. Version ${spec.info.version}.`;
  const groups = new Map();
  for (const [path, methods] of Object.entries(spec.paths)) {
    for (const method of METHODS.filter((each) => each in methods)) {
      const operation = methods[method];
      const group = (operation.tags || ["other"])[0];
      if (!groups.has(group)) groups.set(group, []);
      groups.get(group).push(route(spec, path, method, operation));
    }
  }
  const place = document.querySelector("#routes");
  for (const [name, routes] of groups) place.append(element("h2", { textContent: name }), ...routes);
}

document.querySelector("#key").addEventListener("submit", (event) => event.preventDefault());
show().catch((error) => { document.querySelector("#summary").textContent = `The description cannot be read: ${error}`; });
