import { marked, Marked, Lexer } from "marked";
console.log(
  marked.parse("# Hi *there*\n\n- a\n- [b](c)\n\n| x | y |\n|---|---|\n| 1 | 2 |\n\n```js\n<x>\n```"),
  new Lexer()
    .lex("> q")
    .map((t) => t.type)
    .join(),
);
export const own = new Marked({ renderer: { heading: ({ depth }) => "h" + depth } });
console.log(own.parse("## x"));
