//! channelz: what servers and their connections do at this moment (gRFC A14), for grpcdebug,
//! grpcurl and other tools.
//!
//! A [`Channelz`] sees the servers that were given to it with
//! [`Builder::channelz`](crate::Builder::channelz), and no others. It is made by the application
//! rather than there once for the process, so that what is shown, and where, is written down in one
//! place; a server that nobody looks at counts nothing; and tests do not see each other's servers.
//! What the service answers:
//!
//! - of a server: where it listens; how many calls have begun, and ended with OK or otherwise; when
//!   the last began. Requests that are not gRPC, and streams that HTTP/2 refuses, are no calls.
//! - of a connection: both addresses; the same of its streams, the messages in each direction, and
//!   the PINGs of the keepalive.
//!   A message counts as sent when it goes to the connection, and as received when the application
//!   takes it. A stream is a success if it got a status, whatever that says.
//! - of channels and subchannels: that there are none.
//!
//! ```no_run
//! use turnstile::Server;
//! use turnstile::channelz::Channelz;
//!
//! // Who may open the socket sees who is connected to the public server.
//! let channelz = Channelz::new();
//! let public = Server::builder().channelz(&channelz).bind("0.0.0.0:50051")?;
//! let admin = Server::builder().add_service(channelz.service()).bind("unix:/run/app/admin.sock")?;
//! std::thread::scope(|scope| {
//!     scope.spawn(|| public.run());
//!     admin.run();
//! });
//! # Ok::<(), turnstile::Error>(())
//! ```
//!
//! Numbers are read one after the other while calls go on, so that sums may be off by the calls of
//! that moment. Pages have at most 100 items.

mod messages;

pub use crate::monitor::Channelz;

use crate::generated::channelz as proto;
use crate::monitor::ServerMonitor;
use crate::service::{Request, Response, Service};
use crate::status::Status;
use proto::{
    GetChannelRequest, GetChannelResponse, GetServerRequest, GetServerResponse,
    GetServerSocketsRequest, GetServerSocketsResponse, GetServersRequest, GetServersResponse,
    GetSocketRequest, GetSocketResponse, GetSubchannelRequest, GetSubchannelResponse,
    GetTopChannelsRequest, GetTopChannelsResponse,
};
use std::sync::Arc;

/// How many items a page has at most, and if the client does not say.
const PAGE: usize = 100;

impl Channelz {
    /// The service, for [`Builder::add_service`](crate::Builder::add_service). It may be made
    /// several times, and added to servers that are themselves seen or not.
    ///
    /// ```
    /// use turnstile::Server;
    /// use turnstile::channelz::Channelz;
    ///
    /// // A server may show itself.
    /// let channelz = Channelz::new();
    /// let mut builder = Server::builder();
    /// let server = builder.channelz(&channelz).add_service(channelz.service()).bind("127.0.0.1:0")?;
    /// # drop(server);
    /// # Ok::<(), turnstile::Error>(())
    /// ```
    pub fn service(&self) -> Service {
        proto::channelz::server(self.clone())
    }

    fn server_or_not_found(&self, id: i64) -> Result<Arc<ServerMonitor>, Status> {
        self.server(id).ok_or_else(|| not_found("server", id))
    }
}

impl proto::channelz::Service for Channelz {
    async fn get_top_channels(
        &self,
        request: Request<GetTopChannelsRequest>,
    ) -> Result<Response<GetTopChannelsResponse>, Status> {
        page_size(request.max_results)?;
        Ok(Response::new(GetTopChannelsResponse { channel: Vec::new(), end: true }))
    }

    async fn get_servers(
        &self,
        request: Request<GetServersRequest>,
    ) -> Result<Response<GetServersResponse>, Status> {
        let page = self.servers(request.start_server_id, page_size(request.max_results)?);
        let server = page.items.iter().map(|server| messages::server(server)).collect();
        Ok(Response::new(GetServersResponse { server, end: page.is_last }))
    }

    async fn get_server(
        &self,
        request: Request<GetServerRequest>,
    ) -> Result<Response<GetServerResponse>, Status> {
        let server = self.server_or_not_found(request.server_id)?;
        Ok(Response::new(GetServerResponse { server: Some(messages::server(&server)) }))
    }

    async fn get_server_sockets(
        &self,
        request: Request<GetServerSocketsRequest>,
    ) -> Result<Response<GetServerSocketsResponse>, Status> {
        let size = page_size(request.max_results)?;
        let server = self.server_or_not_found(request.server_id)?;
        let page = server.sockets(request.start_socket_id, size);
        let socket_ref = page.items.iter().map(|socket| messages::socket_ref(socket)).collect();
        Ok(Response::new(GetServerSocketsResponse { socket_ref, end: page.is_last }))
    }

    async fn get_channel(
        &self,
        request: Request<GetChannelRequest>,
    ) -> Result<Response<GetChannelResponse>, Status> {
        Err(not_found("channel", request.channel_id))
    }

    async fn get_subchannel(
        &self,
        request: Request<GetSubchannelRequest>,
    ) -> Result<Response<GetSubchannelResponse>, Status> {
        Err(not_found("subchannel", request.subchannel_id))
    }

    async fn get_socket(
        &self,
        request: Request<GetSocketRequest>,
    ) -> Result<Response<GetSocketResponse>, Status> {
        let id = request.socket_id;
        let of_server = |server: &Arc<ServerMonitor>| {
            let connection = server.socket(id).map(|socket| messages::socket(&socket));
            connection.or_else(|| {
                let listener = server.listeners().into_iter().find(|listener| listener.id == id)?;
                Some(messages::listen_socket(&listener))
            })
        };
        let socket = self.find(of_server).ok_or_else(|| not_found("socket", id))?;
        Ok(Response::new(GetSocketResponse { socket: Some(socket) }))
    }
}

/// How many items the client gets.
fn page_size(max_results: i64) -> Result<usize, Status> {
    match usize::try_from(max_results) {
        Ok(0) => Ok(PAGE),
        Ok(max) => Ok(max.min(PAGE)),
        Err(_) if max_results > 0 => Ok(PAGE),
        Err(_) => Err(Status::invalid_argument(format!(
            "max_results is {max_results}; it must be positive, or 0 for as many as there may be",
        ))),
    }
}

fn not_found(what: &str, id: i64) -> Status {
    Status::not_found(format!("there is no {what} {id}, or no more"))
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests;
