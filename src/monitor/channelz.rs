//! The servers that can be looked at.

use super::server::ServerMonitor;
use crate::sync::{AtomicU64, Mutex, Ordering::Relaxed};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What can be seen of some servers through gRPC's channelz: [`service`](Self::service) serves it.
///
/// Give it to every server that shall be seen, and add its service to one that those who may look
/// can reach. That need not be one of the servers that are seen: an address for operators only is
/// the better place, since channelz tells who is connected.
///
/// ```
/// use turnstile::Server;
/// use turnstile::channelz::Channelz;
///
/// let channelz = Channelz::new();
/// let server = Server::builder().channelz(&channelz).bind("127.0.0.1:0")?;
/// let admin = Server::builder().add_service(channelz.service()).bind("127.0.0.1:0")?;
/// # drop((server, admin));
/// # Ok::<(), turnstile::Error>(())
/// ```
///
/// Clones see the same servers. A server that was given to none counts nothing.
#[derive(Clone, Default)]
pub struct Channelz {
    registry: Arc<Registry>,
}

/// The servers by their ids, and the ids.
#[derive(Default)]
pub(super) struct Registry {
    last_id: AtomicU64,
    /// A leaf lock.
    servers: Mutex<BTreeMap<i64, Arc<ServerMonitor>>>,
}

impl Channelz {
    /// Without servers yet.
    ///
    /// ```
    /// use turnstile::Server;
    /// use turnstile::channelz::Channelz;
    ///
    /// let channelz = Channelz::new();
    /// let mut builder = Server::builder();
    /// builder.channelz(&channelz);
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// A monitor for a server that is being built.
    pub(crate) fn monitor(&self) -> Arc<ServerMonitor> {
        ServerMonitor::new(self.registry.clone())
    }

    /// The servers, in the order of their ids.
    pub(crate) fn servers(&self, start: i64, max: usize) -> Page<Arc<ServerMonitor>> {
        page(&self.registry.servers.lock(), start, max, |_| true)
    }

    pub(crate) fn server(&self, id: i64) -> Option<Arc<ServerMonitor>> {
        self.registry.servers.lock().get(&id).cloned()
    }

    /// Looks among all servers.
    pub(crate) fn find<T>(&self, find: impl FnMut(&Arc<ServerMonitor>) -> Option<T>) -> Option<T> {
        // Each server has a lock of its own.
        let servers: Vec<_> = self.registry.servers.lock().values().cloned().collect();
        servers.iter().find_map(find)
    }
}

impl Registry {
    /// An id that nothing had before. Never 0, which asks for the first page.
    pub(super) fn next_id(&self) -> i64 {
        let before = self.last_id.fetch_add(1, Relaxed);
        i64::try_from(before).unwrap_or(i64::MAX).saturating_add(1)
    }

    pub(super) fn insert(&self, server: Arc<ServerMonitor>) {
        self.servers.lock().insert(server.id(), server);
    }

    pub(super) fn remove(&self, id: i64) {
        let removed = self.servers.lock().remove(&id);
        drop(removed);
    }
}

impl fmt::Debug for Channelz {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.registry.servers.lock().keys().copied().collect();
        f.debug_struct("Channelz").field("servers", &ids).finish()
    }
}

/// Some of many, in the order of their ids.
#[derive(Debug)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// There are none behind them.
    pub(crate) is_last: bool,
}

/// The first `max` from the id `start` on.
pub(super) fn page<T: Clone>(
    all: &BTreeMap<i64, T>,
    start: i64,
    max: usize,
    is_wanted: impl Fn(&T) -> bool,
) -> Page<T> {
    let mut rest = all.range(start..).map(|(_, item)| item).filter(|item| is_wanted(item));
    let items = rest.by_ref().take(max).cloned().collect();
    Page { items, is_last: rest.next().is_none() }
}
