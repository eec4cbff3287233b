//! A server of frames that breaks what a client may rely on, in the way of one case.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::connection::Connection;
use super::record::{Log, Record};

/// What the server does. All but the last two are those of `doc/http2-interop-test-descriptions.md`
/// in gRPC's repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// The first connection takes one call, which is answered behind a GOAWAY.
    Goaway,
    /// A call gets its initial metadata, and RST_STREAM.
    RstAfterHeader,
    /// The same, with half of the message in between.
    RstDuringData,
    /// The same, with the whole message in between.
    RstAfterData,
    /// There is a PING between all frames, and no status before all PINGs have come back.
    Ping,
    /// After the first call, only one at a time may be open. It is answered when a PING has come
    /// back, so that what the client wanted to open beside it has come too.
    MaxStreams,
    /// Each DATA frame has 5 bytes of the message and 255 of padding.
    DataFramePadding,
    /// The same without padding.
    NoPadding,
    /// The first connection says by a GOAWAY that it has not looked at the call.
    GoawayBeforeCall,
    /// The first stream is refused.
    RefusedStream,
}

impl Case {
    /// Those that other languages have too.
    pub(crate) const STANDARD: [Self; 8] = [
        Self::Goaway,
        Self::RstAfterHeader,
        Self::RstDuringData,
        Self::RstAfterData,
        Self::Ping,
        Self::MaxStreams,
        Self::DataFramePadding,
        Self::NoPadding,
    ];

    /// The name that other languages know it by.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Goaway => "goaway",
            Self::RstAfterHeader => "rst_after_header",
            Self::RstDuringData => "rst_during_data",
            Self::RstAfterData => "rst_after_data",
            Self::Ping => "ping",
            Self::MaxStreams => "max_streams",
            Self::DataFramePadding => "data_frame_padding",
            Self::NoPadding => "no_df_padding_sanity_test",
            Self::GoawayBeforeCall => "goaway_before_call",
            Self::RefusedStream => "refused_stream",
        }
    }
}

/// The server, with a thread that accepts and one for each connection.
pub(crate) struct NegativeServer {
    address: SocketAddr,
    log: Log,
    is_over: Arc<AtomicBool>,
    accepting: JoinHandle<Vec<JoinHandle<()>>>,
}

impl NegativeServer {
    /// Listens on a free port of 127.0.0.1.
    pub(crate) fn start(case: Case) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("it listens");
        let (log, is_over) = (Log::default(), Arc::<AtomicBool>::default());
        let (connections_log, until) = (log.clone(), is_over.clone());
        let accepting = thread::spawn(move || {
            let mut connections = Vec::new();
            for socket in listener.incoming() {
                let socket = socket.expect("a connection can be accepted");
                if until.load(Ordering::SeqCst) {
                    break;
                }
                let connection = Connection::new(connections.len(), socket, case, &connections_log);
                connections.push(thread::spawn(|| connection.serve()));
            }
            connections
        });
        Self { address, log, is_over, accepting }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has been done, once the client is gone.
    ///
    /// # Panics
    /// If a connection is still open after a while, or a client sent what the server cannot read.
    #[track_caller]
    pub(crate) fn finish(self) -> Record {
        self.is_over.store(true, Ordering::SeqCst);
        // The thread sees it when it has accepted this, and those that came before.
        let last = TcpStream::connect(self.address).expect("the server listens");
        let connections = self.accepting.join().expect("the server accepts");
        drop(last);
        for connection in connections {
            connection.join().expect("a connection failed; its panic is above");
        }
        self.log.take()
    }
}
