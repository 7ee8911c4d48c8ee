/** @jsxRuntime automatic */
/** @jsxImportSource preact */
export const signal = <i key="k">!</i>;
