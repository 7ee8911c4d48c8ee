// What the server and its clients say to each other, as JSON.

export type Message = { id: string; from: string; text: string; at: number };

export type FromClient = { type: "name"; name: string } | { type: "say"; text: string };

export type FromServer =
  | { type: "history"; messages: Message[] }
  | { type: "said"; message: Message }
  | { type: "people"; names: string[] };

export const NAME_LENGTH_MAX = 40;
export const TEXT_LENGTH_MAX = 2000;
