import React, { createContext, useContext, useState, Suspense, memo } from "react";
import { renderToString, renderToStaticMarkup } from "react-dom/server";
const Theme = createContext("light");
const Item = memo(({ n }: { n: number }) => (
  <li data-n={n}>
    {useContext(Theme)} &amp; {n}
  </li>
));
export function App() {
  const [list] = useState([1, 2]);
  return (
    <Theme.Provider value="dark">
      <ul className="x">
        {list.map((n) => (
          <Item key={n} n={n} />
        ))}
      </ul>
      <Suspense fallback={null}>
        <></>
      </Suspense>
    </Theme.Provider>
  );
}
console.log(renderToStaticMarkup(<App />), renderToString(<App />), React.version === (await import("react")).version);
