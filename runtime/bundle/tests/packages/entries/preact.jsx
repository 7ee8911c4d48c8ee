/** @jsxRuntime automatic */
/** @jsxImportSource preact */
import { render } from "preact-render-to-string";
import { signal } from "./preact-helper.jsx";
import { useMemo } from "preact/hooks";
import { Component, options } from "preact";
class Counter extends Component {
  state = { n: 4 };
  render() {
    const twice = useMemo(() => this.state.n * 2, [this.state.n]);
    return (
      <p {...this.props} style={{ color: "red" }}>
        {twice}
        {signal}
      </p>
    );
  }
}
console.log(render(<Counter title="a&b" />), typeof options);
export default Counter;
