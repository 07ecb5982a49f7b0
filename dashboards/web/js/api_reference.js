// The API's reference, drawn from its own description: works without any other host.

import { get } from "./api.js";
import { fill, h, prose } from "./dom.js";

// Paragraphs without the line breaks that they have in the source.
const flowing = (text = "") => text.replace(/(\S)\n(?=\S)(?![-*] )/g, "$1 ");

export async function showApi({ root, signal }) {
  const document_ = await get("openapi.json", {}, signal);
  const schemas = document_.components?.schemas ?? {};
  const operations = Object.entries(document_.paths).flatMap(([path, methods]) =>
    Object.entries(methods).filter(([method]) => method !== "parameters").map(([method, operation]) => ({ path, method, ...operation })));
  const tags = [...new Set(operations.map((each) => each.tags?.[0] ?? "service"))];

  const kind = (schema = {}) => schema.anyOf ? schema.anyOf.map(kind).join(" or ") : schema.$ref ? schema.$ref.split("/").at(-1) : schema.enum ? schema.enum.join(", ") : schema.type === "array" ? `list of ${kind(schema.items)}` : schema.type ?? "";
  const example = (content) => {
    const schema = Object.values(content ?? {})[0]?.schema;
    return (schema?.$ref ? schemas[schema.$ref.split("/").at(-1)] : schema)?.examples?.[0];
  };
  const code = (value) => h("pre", { class: "mono", tabindex: "0" }, JSON.stringify(value, null, 2));

  function draw({ path, method, summary, description, parameters = [], requestBody, responses }) {
    const ask = example(requestBody?.content);
    const answer = example(responses?.["200"]?.content);
    const isPlain = method === "get" && !path.includes("{") && !path.endsWith("/events");
    return h("details", { class: "panel operation" },
      h("summary", {}, h("span", { class: `chip ${method === "get" ? "ok" : "warning"}` }, method.toUpperCase()), h("code", {}, path), h("span", { class: "dim" }, prose((description ?? summary ?? "").split("\n")[0]))),
      h("p", {}, prose(flowing(description))),
      parameters.length ? h("table", {}, h("tbody", {}, parameters.map((each) => h("tr", {}, h("td", {}, h("code", {}, each.name), each.required ? " (required)" : ""), h("td", {}, kind(each.schema)), h("td", {}, prose(each.description ?? "")))))) : null,
      ask ? [h("h3", {}, "Request"), code(ask)] : null,
      answer ? [h("h3", {}, "Reply"), code(answer)] : null,
      isPlain ? h("p", {}, h("a", { href: path.slice(1) }, h("u", {}, "Ask it now"))) : null);
  }

  fill(root,
    h("div", { class: "crumbs" }, h("h1", {}, "API"), h("a", { href: "api/v1/openapi.json" }, h("u", {}, "OpenAPI description"))),
    h("p", { class: "prose" }, prose(flowing(document_.info.description))),
    tags.map((tag) => h("section", { class: "operations" }, h("h2", {}, tag), operations.filter((each) => (each.tags?.[0] ?? "service") === tag).map(draw))));
}
