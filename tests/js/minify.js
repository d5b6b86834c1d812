/** What a minifier would make of the client, near enough to hold a budget: no comments, no layout, short names. */

import { readFileSync } from "node:fs";
import ts from "typescript";

/** Return the modules as one script in small. */
export function minify(paths) {
  const source = paths.map((path) => readFileSync(path, "utf8")).join("\n").replace(/^import [^;]*;|^export /gm, "");
  const tokens = tokensOf(parse(ts.createPrinter({ removeComments: true }).printFile(parse(source))));
  const shorten = shortNames(tokens);
  let text = "";
  for (const token of tokens.map(shorten)) text += (/[\w$]$/.test(text) && /^[\w$#]/.test(token) ? " " : "") + token;
  return text;
}

function parse(text) {
  return ts.createSourceFile("client.js", text, ts.ScriptTarget.ES2022, true, ts.ScriptKind.JS);
}

function tokensOf(node) {
  const children = node.getChildren();
  return children.length === 0 ? [node].filter((token) => token.getText() !== "") : children.flatMap(tokensOf);
}

/** Private names become short, and variables whose name is nowhere a property: then scopes do not matter. */
function shortNames(tokens) {
  const names = new Map();
  const properties = new Set(tokens.filter(isPropertyName).map((token) => token.text));
  const variables = new Set(tokens.filter(isVariableName).map((token) => token.text));
  return (token) => {
    const name = token.getText();
    const isVariable = ts.isIdentifier(token) && variables.has(name) && !properties.has(name);
    if (!isVariable && !ts.isPrivateIdentifier(token)) return name;
    if (!names.has(name)) names.set(name, (name.startsWith("#") ? "#" : "_") + names.size.toString(36));
    return names.get(name);
  };
}

function isVariableName(token) {
  const { parent } = token;
  if (!ts.isIdentifier(token) || parent.name !== token) return false;
  if (ts.isBindingElement(parent)) return Boolean(parent.propertyName) || ts.isArrayBindingPattern(parent.parent);
  const declarations = [ts.isVariableDeclaration, ts.isParameter, ts.isFunctionDeclaration, ts.isClassDeclaration];
  return declarations.some((is) => is(parent));
}

function isPropertyName(token) {
  const { parent } = token;
  return ts.isIdentifier(token) && (parent.propertyName === token || (parent.name === token && !isVariableName(token)));
}
