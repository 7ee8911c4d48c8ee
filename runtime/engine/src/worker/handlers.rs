//! A worker of static handlers: the edge, and what is asked of it.

use partyrun_net::Response;
use tokio::sync::oneshot;

use crate::api::{Described, Isolation, Source, StartError};
use crate::isolate::CallError;
use crate::room::event::{Cron, Event};
use crate::room::requests::{Pending, Waiting};
use crate::worker::Worker;

impl Worker {
    /// Gives the edge an event, under the id of the request that it answers.
    pub(super) fn edge_event<T>(
        &mut self,
        payload: T,
        mut remembered: Pending,
        event: impl FnOnce(u32, T, &mut Pending) -> Event,
    ) {
        let Some(edge) = self.edge.clone() else { return };
        let id = edge.requests.reserve();
        let event = event(id, payload, &mut remembered);
        edge.requests.keep(id, remembered);
        edge.push(event);
        edge.wake();
    }

    /// Runs `onCron`.
    pub(super) fn cron(&mut self, cron: Cron, reply: oneshot::Sender<Response>) {
        let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let remembered = Pending::answered_only(Waiting::Plain(reply), nobody);
        self.edge_event(cron, remembered, |id, cron, _| Event::Cron(id, Box::new(cron)));
    }

    /// Makes the edge isolate, if there is none yet, and asks it what the modules declare.
    pub(super) fn describe(&mut self, reply: oneshot::Sender<Result<Described, StartError>>) {
        let prepared = match self.isolates.create(Some(&Source::Edge)) {
            Ok(prepared) => prepared,
            Err(error) => {
                let _gone = reply.send(Err(not_started(&error)));
                return;
            }
        };
        if let Some(old) = self.edge.take() {
            old.sockets.borrow_mut().close_all(1012, "Service Restart");
            old.close();
        }
        let home = self.home(Isolation::Room);
        let edge = self.actor(Source::Edge, &home);
        home.prepare(&edge, prepared);
        self.edge = Some(edge.clone());
        tokio::task::spawn_local(async move {
            let described = std::future::poll_fn(|context| home.describe(&edge, context)).await;
            let _gone = reply.send(described.map_err(|error| not_started(&error)));
        });
    }
}

fn not_started(error: &CallError) -> StartError {
    StartError::Program(match error {
        CallError::Import(reason) => format!("The project did not start: {reason}."),
        other => other.to_string(),
    })
}
