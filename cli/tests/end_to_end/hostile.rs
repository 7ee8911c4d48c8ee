//! Clients that break every rule, all at once: afterwards the same process still serves, and its rooms answer.

use crate::support::Project;

const ROOM: &str = "const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export default class Server {
  constructor(room) { this.room = room; this.storage = room.storage; }
  static async onBeforeConnect(request) {
    const how = new URL(request.url).searchParams.get('how');
    if (how === 'refuse') return new Response('no', { status: 403 });
    if (how === 'late') await wait(50);
    if (how !== 'pair') return request;
    const { 0: client, 1: server } = new WebSocketPair();
    server.accept();
    server.addEventListener('message', ({ data }) => server.send(data));
    setTimeout(() => server.close(4000), 20);
    return new Response(null, { status: 101, webSocket: client });
  }
  async onStart() { await this.storage.get('count'); }
  async onConnect(connection, { request }) {
    const how = new URL(request.url).searchParams.get('how');
    if (how === 'slow') await wait(20);
    if (how === 'throw') throw new Error('a connection');
    if (how === 'close') connection.close(4001, 'as asked');
    connection.addEventListener('message', () => { throw new Error('a listener'); });
    connection.send('hello');
  }
  async onMessage(message, connection) {
    switch (message) {
      case 'close': return connection.close();
      case 'throw': throw new Error('a message');
      case 'put': return this.storage.put('count', ((await this.storage.get('count')) ?? 0) + 1);
      case 'broadcast': return this.room.broadcast('x'.repeat(2000));
      case 'kick': for (const other of this.room.getConnections()) other.close(4002); return;
      case 'reject': Promise.reject(new Error('nobody')); return;
      case 'tick': setTimeout(() => connection.send('tick'), 20); return;
      case 'alarm': return this.storage.setAlarm(Date.now() + 5);
      case 'transaction': return this.storage.transaction(async (inner) => { await inner.put('a', 1); inner.rollback(); });
      case 'other': {
        const socket = await this.room.context.parties.main.get('a').socket();
        socket.send('hi');
        return socket.close();
      }
    }
    connection.send(message);
  }
  onClose() { this.room.broadcast('left'); }
  onAlarm() { this.room.broadcast('alarm'); }
  onRequest(request) { return request.method === 'POST' ? new Response(request.body) : new Response(`room ${this.room.id}`); }
}
";

const SLEEPY: &str = "import Server from './server.js';
export default class Sleepy extends Server { options = { hibernate: true }; }
";

#[test]
fn clients_that_break_every_rule_break_nothing_else() {
    let config = r#"{ "name": "demo", "main": "server.js", "parties": { "sleepy": "sleepy.js" } }"#;
    let project = Project::new(&[("server.js", ROOM), ("sleepy.js", SLEEPY), ("partykit.json", config)]);
    let server = project.serve(&["start", "--persist", "false"]);
    assert_eq!(server.get("/party/before"), (200, "room before".to_string()));
    let process = server.served_by();
    let Some(text) = server.client("hostile.mjs", &["3000", "1"]) else { return };
    assert_eq!(text.trim(), "3000 connections");
    assert_eq!(server.served_by(), process, "another process serves now:\n{}", server.output());
    for room in ["/party/a", "/parties/sleepy/a", "/party/after"] {
        assert_eq!(server.get(room).0, 200, "{}", server.output());
    }
    assert!(!server.output().contains("was reset"), "a room was reset:\n{}", server.output());
    server.stop();
}
