//! What an engine tells whoever looks at metrics: queues, memory, threads, and the files of its store.

use partyrun_telemetry::{Metrics, Source, Value};

use crate::engine::inner::Inner;
use crate::worker::mailbox::Kind;

impl Source for Inner {
    fn collect(&self, metrics: &mut Metrics) {
        let mut put = |name, label, bytes: usize| metrics.put(name, &[label], Value::Count(bytes as u64));
        for (queue, total) in self.totals.named() {
            put("partyrun_queue_bytes", queue, total.used());
            put("partyrun_queue_limit_bytes", queue, total.max());
        }
        let (heap, external) = self.registry.used();
        put("partyrun_memory_bytes", "heap", heap);
        put("partyrun_memory_bytes", "external", external);
        let workers = self.placement.workers();
        for kind in [Kind::Share, Kind::Slow, Kind::Room] {
            let count = workers.iter().filter(|worker| worker.kind == kind).count();
            put("partyrun_workers", kind.name(), count);
        }
        put("partyrun_workers", Kind::Edge.name(), self.edges.len());
        metrics.put("partyrun_memory_share_ratio", &[], Value::Number(self.places.memory_share()));
        for (file, bytes) in self.store.file_bytes() {
            metrics.put("partyrun_store_bytes", &[file], Value::Count(bytes));
        }
    }
}
