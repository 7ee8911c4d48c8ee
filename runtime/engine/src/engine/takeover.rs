//! How another thread takes over from one of static handlers that a turn holds up; what they are, `edges.rs` says.

use std::sync::Arc;

use crate::engine::inner::Inner;
use crate::worker::mailbox::Mailbox;
use crate::worker::message::Message;

impl Inner {
    /// A turn holds up a thread of static handlers.
    pub(super) fn relieve_edge(&self, held: &Arc<Mailbox>) {
        let mut table = self.edges.write();
        let in_charge = table.current.as_ref().is_some_and(|edge| Arc::ptr_eq(edge, held));
        if !in_charge || table.starting {
            return;
        }
        if let Some(free) = table.all.iter().find(|edge| !edge.is_held()).cloned() {
            return table.pass_to(free);
        }
        if table.all.len() >= self.options.limits.edge_workers_max {
            return;
        }
        let (Some(engine), program) = (self.this.upgrade(), table.program) else { return };
        // Evaluating the modules takes as long as it did at the start, and the watchdog waits for nobody.
        let started = std::thread::Builder::new().name("edge-start".to_string()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            let edge = runtime.ok().and_then(|runtime| runtime.block_on(engine.start_edge(None)).ok());
            let Some((edge, _)) = edge else {
                engine.edges.write().starting = false;
                return;
            };
            engine.add_edge(edge, program);
        });
        table.starting = started.is_ok();
    }

    // One more is ready, with the modules of a program.
    fn add_edge(&self, edge: Arc<Mailbox>, program: usize) {
        let mut table = self.edges.write();
        table.starting = false;
        if table.program != program {
            let _ended = edge.send(Message::Stop);
            return;
        }
        table.all.push(edge.clone());
        // The other may have gone on meanwhile: then it stays in charge, with what its modules keep.
        if table.current.as_ref().is_some_and(|current| current.is_held()) {
            table.pass_to(edge);
        }
    }
}
