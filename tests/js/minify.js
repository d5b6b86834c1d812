/** What a minifier makes of the client, near enough to hold a budget: no comments, no layout, short names. */

import { readFileSync } from "node:fs";
import ts from "typescript";

const FILE = "client.js";

/** Return the modules as one script in small. */
export function minify(paths) {
  const source = paths.map((path) => readFileSync(path, "utf8")).join("\n").replace(/^import [^;]*;|^export /gm, "");
  const { file, checker } = parse(ts.createPrinter({ removeComments: true }).printFile(parse(source).file));
  let text = "";
  for (const token of tokensOf(file).map(shortNames(file, checker))) {
    if (token === "}") text = text.replace(/[;,]$/, "");
    text += (/[\w$]$/.test(text) && /^[\w$#]/.test(token) ? " " : "") + token;
  }
  return text;
}

function parse(text) {
  const file = ts.createSourceFile(FILE, text, ts.ScriptTarget.ES2022, true, ts.ScriptKind.JS);
  const options = { allowJs: true, noLib: true, noResolve: true, types: [] };
  const host = { ...ts.createCompilerHost(options), getSourceFile: (name) => (name === FILE ? file : undefined) };
  return { file, checker: ts.createProgram([FILE], options, host).getTypeChecker() };
}

function tokensOf(node) {
  const children = node.getChildren();
  return children.length === 0 ? [node].filter((token) => token.getText() !== "") : children.flatMap(tokensOf);
}

/** Variables get names that are short, and used again where another function cannot see them; so do private members. */
function shortNames(file, checker) {
  const [names, members, counts] = [new Map(), new Map(), new Map()];
  const scopeOf = (node) => ts.findAncestor(node.parent, (one) => ts.isFunctionLike(one) || one === file);
  const countOf = (scope) => (counts.get(scope) ?? 0) + (scope === file ? 0 : countOf(scopeOf(scope)));
  const variables = new Map(); // by scope, outer ones first
  for (const token of tokensOf(file).filter(isVariableName)) {
    const declared = ts.isFunctionDeclaration(token.parent) ? token.parent : token;
    const scope = scopeOf(declared);
    variables.set(scope, [...(variables.get(scope) ?? []), checker.getSymbolAtLocation(token)]);
  }
  for (const [scope, symbols] of [...variables].sort(([a], [b]) => a.pos - b.pos || b.end - a.end)) {
    for (const symbol of new Set(symbols)) {
      names.set(symbol, letters(countOf(scope)));
      counts.set(scope, (counts.get(scope) ?? 0) + 1);
    }
  }
  return (token) => {
    const name = token.getText();
    if (ts.isPrivateIdentifier(token)) {
      if (!members.has(name)) members.set(name, `#${letters(members.size)}`);
      return members.get(name);
    }
    if (!ts.isIdentifier(token)) return name;
    const { parent } = token;
    const isShort = ts.isShorthandPropertyAssignment(parent);
    const symbol = isShort ? checker.getShorthandAssignmentValueSymbol(parent) : checker.getSymbolAtLocation(token);
    const isBound = ts.isBindingElement(parent) && ts.isObjectBindingPattern(parent.parent) && parent.name === token;
    const short = names.get(symbol);
    if (!short || parent.propertyName === token) return name;
    return isShort || (isBound && !parent.propertyName) ? `${name}:${short}` : short;
  };
}

function letters(index) {
  return (index >= 52 ? letters(Math.floor(index / 52) - 1) : "") + String.fromCharCode((index % 52) + (index % 52 < 26 ? 97 : 39));
}

function isVariableName(token) {
  const { parent } = token;
  if (!ts.isIdentifier(token) || parent.name !== token) return false;
  const declarations = [ts.isVariableDeclaration, ts.isParameter, ts.isFunctionDeclaration, ts.isClassDeclaration];
  return ts.isBindingElement(parent) || declarations.some((is) => is(parent));
}
