//! Health checking: whether a server, or one of its services, can be used (gRPC's document
//! "health-checking", and gRFC A90 for `List`).
//!
//! ```no_run
//! # fn greeter() -> turnstile::Service { turnstile::service::Builder::new("demo", ()).build() }
//! use turnstile::health::{self, ServingStatus};
//!
//! let (reporter, health) = health::service();
//! let server = turnstile::Server::builder()
//!     .add_service(greeter())
//!     .add_service(health)
//!     .bind("127.0.0.1:50051")?;
//! // The server and its services are SERVING, unless one says otherwise:
//! reporter.set("helloworld.Greeter", ServingStatus::NotServing);
//! # Ok::<(), turnstile::Error>(())
//! ```
//!
//! **Draining.** Who watches a server wants to know that it will go before it does: call
//! [`Reporter::drain`], serve on for as long as that takes to be noticed, and then shut down. A
//! shutdown drains too, but closes the listeners at the same time.

mod registry;

use crate::generated::health as proto;
use crate::service::{Attachment, Request, Response, Service, Writer};
use crate::status::Status;
use proto::health_check_response::ServingStatus as WireStatus;
use proto::{HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse};
use registry::Registry;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How many services `List` names at most, as gRFC A90 advises; more is RESOURCE_EXHAUSTED.
const MAX_LISTED: usize = 100;

/// Whether a service can be used.
///
/// ```
/// use turnstile::health::ServingStatus;
///
/// fn status_of(is_database_there: bool) -> ServingStatus {
///     if is_database_there { ServingStatus::Serving } else { ServingStatus::NotServing }
/// }
/// # assert_eq!(status_of(false), ServingStatus::NotServing);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServingStatus {
    /// It can.
    Serving,
    /// It cannot, for now.
    NotServing,
}

impl ServingStatus {
    fn to_wire(self) -> WireStatus {
        match self {
            Self::Serving => WireStatus::Serving,
            Self::NotServing => WireStatus::NotServing,
        }
    }
}

/// A health service, and the one who tells it how things are.
///
/// The server as a whole (the empty name) is SERVING, and so are all services of the server that it
/// is added to, unless they were set before. `Check` and `Watch` take any name; `List` answers
/// RESOURCE_EXHAUSTED when there are more than 100 (gRFC A90).
///
/// Callable from any thread; never blocks.
///
/// ```
/// use turnstile::{Server, health};
///
/// let (reporter, health) = health::service();
/// let server = Server::builder().add_service(health).bind("127.0.0.1:0")?;
/// # drop((reporter, server));
/// # Ok::<(), turnstile::Error>(())
/// ```
pub fn service() -> (Reporter, Service) {
    let registry = Arc::new(Registry::default());
    let service = proto::health::server(Health(registry.clone())).attach(registry.clone());
    (Reporter(registry), service)
}

/// Tells a health service how things are. Clones tell the same one.
///
/// Callable from any thread; never blocks.
///
/// ```
/// use turnstile::health::{Reporter, ServingStatus};
///
/// /// Services need not be the server's own: what it depends on may have a name, too.
/// fn on_database_change(reporter: &Reporter, is_there: bool) {
///     if is_there {
///         reporter.set("database", ServingStatus::Serving);
///     } else {
///         reporter.set("database", ServingStatus::NotServing);
///     }
/// }
/// # on_database_change(&turnstile::health::service().0, true);
/// ```
#[derive(Clone, Debug)]
pub struct Reporter(Arc<Registry>);

impl Reporter {
    /// Sets how a service is, by its full name; the empty name is the server as a whole. Clients that
    /// watch it are told. While the server drains, it is kept for nobody.
    ///
    /// ```
    /// use turnstile::health::{self, ServingStatus};
    ///
    /// // Clients wait until the caches are warm.
    /// let (reporter, service) = health::service();
    /// reporter.set("", ServingStatus::NotServing);
    /// // ... warm them, and then:
    /// reporter.set("", ServingStatus::Serving);
    /// # drop(service);
    /// ```
    pub fn set(&self, service: &str, status: ServingStatus) {
        self.0.set(service, status);
    }

    /// Forgets a service: `Check` says NOT_FOUND, and who watches it is told SERVICE_UNKNOWN.
    ///
    /// ```
    /// let (reporter, service) = turnstile::health::service();
    /// reporter.set("plugin.Search", turnstile::health::ServingStatus::Serving);
    /// reporter.clear("plugin.Search"); // the plugin was unloaded
    /// # drop(service);
    /// ```
    pub fn clear(&self, service: &str) {
        self.0.clear(service);
    }

    /// Sets everything to NOT_SERVING, for good: the server will go soon.
    ///
    /// ```
    /// use std::{thread, time::Duration};
    /// use turnstile::{Server, health::Reporter};
    ///
    /// /// Stops, from a thread that does not serve, without an error for anybody.
    /// fn stop(server: &Server, reporter: &Reporter) {
    ///     reporter.drain();
    ///     thread::sleep(Duration::from_secs(5)); // balancers notice, and send calls elsewhere
    ///     server.shutdown(Duration::from_secs(30));
    /// }
    /// ```
    pub fn drain(&self) {
        self.0.drain();
    }
}

/// What the server tells of itself.
impl Attachment for Registry {
    fn on_build(&self, services: Option<BTreeSet<String>>) {
        let services = services.unwrap_or_default();
        services.iter().for_each(|name| self.set_unless_known(name));
    }

    fn on_shutdown(&self) {
        self.close();
    }
}

struct Health(Arc<Registry>);

impl proto::health::Service for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let unknown = || Status::not_found(format!("no service {:?} is known", request.service));
        let status = self.0.get(&request.service).ok_or_else(unknown)?;
        Ok(Response::new(reply(status.to_wire())))
    }

    async fn list(
        &self,
        _request: Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, Status> {
        let all = self.0.all();
        if all.len() > MAX_LISTED {
            let message = format!("{} services are known, and List names {MAX_LISTED}", all.len());
            return Err(Status::resource_exhausted(message));
        }
        let entry = |(name, status): (String, ServingStatus)| (name, reply(status.to_wire()));
        Ok(Response::new(HealthListResponse { statuses: all.into_iter().map(entry).collect() }))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
        replies: &mut Writer<HealthCheckResponse>,
    ) -> Result<(), Status> {
        let mut watcher = self.0.watch(&request.service);
        while let Some(status) = watcher.changed().await {
            let status = status.map_or(WireStatus::ServiceUnknown, ServingStatus::to_wire);
            replies.write(reply(status)).await?;
        }
        Err(Status::unavailable("the server is shutting down"))
    }
}

fn reply(status: WireStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests;
