// What others see of a user: the name, and the colours of cursor and selection.
export type User = { name: string; color: string; colorLight: string };

// As far apart as eight hues can be, and dark enough for white letters.
const COLORS = ["#b4381f", "#8a5a00", "#4c6b12", "#147a55", "#0f6f86", "#3056b8", "#7440b0", "#a82c76"];

function userOf(name: string): User {
  const color = (localStorage.color ??= COLORS[Math.floor(Math.random() * COLORS.length)]);
  return { name, color, colorLight: `${color}33` };
}

// Fills the field with the name that this browser remembers, and answers who the user is.
export function nameField(field: HTMLInputElement, changed: (user: User) => void): User {
  field.value = localStorage.name ??= `guest-${Math.floor(Math.random() * 1000)}`;
  field.onchange = () => {
    field.value = localStorage.name = field.value.trim() || localStorage.name;
    changed(userOf(field.value));
  };
  return userOf(field.value);
}

// Shows who has the document open, oneself first.
export function peopleList(list: HTMLElement, states: Map<number, { [key: string]: any }>, own: number) {
  const users = [...states].filter(([, state]) => state.user).sort(([a], [b]) => Number(b === own) - Number(a === own));
  list.replaceChildren(
    ...users.map(([id, { user }]) => {
      const item = document.createElement("li");
      item.textContent = id === own ? `${user.name} (you)` : user.name;
      item.style.setProperty("--color", user.color);
      return item;
    }),
  );
}
