//! A machine that is suspended and resumed: what waits for it happens when it wakes up.

use registry_proto::terms::Land;

use super::{Event, World};

/// A machine that is asleep.
#[derive(Debug)]
pub(super) struct Sleep {
    since_ms: u64,
    waiting: Vec<Event>,
}

impl World {
    /// Suspends the machine of a node: its monotonic clock stands still and its streams break.
    pub fn suspend(&mut self, land: Land) {
        let sleep = Sleep { since_ms: self.now_ms, waiting: Vec::new() };
        self.node_mut(land).asleep.get_or_insert(sleep);
        self.break_streams(land);
    }

    /// Wakes it up; its wall clock has jumped against the monotonic one.
    pub fn resume(&mut self, land: Land) {
        let now_ms = self.now_ms;
        let node = self.node_mut(land);
        let Some(sleep) = node.asleep.take() else { return };
        node.slept_ms += now_ms - sleep.since_ms;
        for event in sleep.waiting {
            self.at(1, event);
        }
    }

    /// The event, if it does not wait for a machine that is asleep.
    pub(super) fn postponed(&mut self, event: Event) -> Option<Event> {
        let land = match &event {
            Event::Tick(land, _) | Event::Restart(land) => *land,
            Event::Closed { node, .. }
            | Event::Synced { node, .. }
            | Event::Freshened { node, .. }
            | Event::Folded { node, .. }
            | Event::RangeSent { node, .. }
            | Event::Attested { node, .. }
            | Event::Examined { node, .. } => *node,
            // no stream reaches it
            Event::Dial(_) | Event::Opened { .. } | Event::Deliver { .. } => return Some(event),
        };
        match &mut self.node_mut(land).asleep {
            Some(sleep) => {
                sleep.waiting.push(event);
                None
            }
            None => Some(event),
        }
    }
}
