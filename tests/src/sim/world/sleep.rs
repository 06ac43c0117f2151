//! A machine that is suspended and resumed: what waits for it happens when it wakes up.

use registry_proto::terms::Land;

use super::{Event, World};

/// A machine that is asleep, or a process that stands still.
#[derive(Debug)]
pub(super) struct Sleep {
    since_ms: u64,
    /// True if both clocks and the streams go on.
    frozen: bool,
    waiting: Vec<Event>,
}

impl World {
    /// Suspends the machine of a node: its monotonic clock stands still and its streams break.
    pub fn suspend(&mut self, land: Land) {
        let sleep = Sleep { since_ms: self.now_ms, frozen: false, waiting: Vec::new() };
        self.node_mut(land).asleep.get_or_insert(sleep);
        self.break_streams(land);
    }

    /// Stops the process of a node, as a paused container: its clocks go on, and what partners say
    /// waits for it until they give it up.
    pub fn freeze(&mut self, land: Land) {
        let sleep = Sleep { since_ms: self.now_ms, frozen: true, waiting: Vec::new() };
        self.node_mut(land).asleep.get_or_insert(sleep);
    }

    /// Wakes it up; of a machine that was asleep the wall clock has jumped against the monotonic
    /// one.
    pub fn resume(&mut self, land: Land) {
        let now_ms = self.now_ms;
        let node = self.node_mut(land);
        let Some(sleep) = node.asleep.take() else { return };
        if !sleep.frozen {
            node.slept_ms += now_ms - sleep.since_ms;
        }
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
            | Event::Examined { node, .. }
            | Event::Looked { node, .. }
            | Event::Marked { node, .. } => *node,
            // of streams that are gone nothing comes, as of those that broke when it fell asleep
            Event::Opened { stream, side: end } | Event::Deliver { stream, to: end, .. } => {
                match self.streams.get(stream) {
                    Some(stream) => stream.ends[*end].0,
                    None => return Some(event),
                }
            }
            Event::Dial(_) => return Some(event),
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
