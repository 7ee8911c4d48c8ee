import Handlebars from "handlebars";
Handlebars.registerHelper("loud", (text) => String(text).toUpperCase());
Handlebars.registerPartial("p", "[{{this}}]");
console.log(
  Handlebars.compile("{{#each list}}{{> p}}{{loud this}}{{else}}none{{/each}} {{{raw}}} {{esc}}")({
    list: ["a", "b"],
    raw: "<b>",
    esc: "<i>",
  }),
  Handlebars.VERSION,
  Handlebars.escapeExpression("<&>"),
);
export default Handlebars;
