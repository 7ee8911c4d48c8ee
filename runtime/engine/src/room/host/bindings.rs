//! KV namespaces, buckets and vector indexes, behind the output gate.

use partyrun_extensions as ext;

use super::HostSlot;

impl ext::Bindings for HostSlot {
    fn binding_call(
        &self,
        room: u32,
        call: ext::BindingCall,
    ) -> ext::LocalFuture<Result<ext::BindingReply, String>> {
        let Some(actor) = self.room(room) else {
            return Box::pin(async { Err("Bindings cannot be used while modules are loaded.".to_string()) });
        };
        let written = actor.written();
        let calling = actor.shared.observer.clone();
        Box::pin(async move {
            written.await.map_err(|gone| gone.to_string())?;
            calling.binding(call).await
        })
    }
}
