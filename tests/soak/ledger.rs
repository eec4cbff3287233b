//! What both ends say of each call, and whether that can be true.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

/// Calls that are remembered at a time: far more than can be between one end's last word and the
/// other's. A fixed size, so that the memory of a long run says something about the library.
const REMEMBERED: usize = 1 << 20;

const CLIENT_HAS_OK: u8 = 1;
const CLIENT_HAS_DEADLINE_EXCEEDED: u8 = 2;
const SERVER_DONE: u8 = 4;
const SERVER_CANCELLED: u8 = 8;

/// The words of both ends on each call, and everything that went wrong.
pub(crate) struct Ledger {
    calls: Vec<AtomicU8>,
    faults: Mutex<Vec<String>>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        // Written to, so that the memory is there from the start.
        let calls = (0..REMEMBERED).map(|_| AtomicU8::new(u8::MAX)).collect();
        Self { calls, faults: Mutex::default() }
    }

    /// A call begins.
    pub(crate) fn begin(&self, id: u64) {
        self.slot(id).store(0, SeqCst);
    }

    /// The client has a status from the server.
    pub(crate) fn client_has(&self, id: u64, status: i32) {
        match status {
            0 => self.note(id, CLIENT_HAS_OK),
            4 => self.note(id, CLIENT_HAS_DEADLINE_EXCEEDED),
            other => self.fault(format!("call {id} ended with status {other}")),
        }
    }

    /// The server's `receive_close` has come.
    pub(crate) fn server_closed(&self, id: u64, is_cancelled: bool) {
        self.note(id, if is_cancelled { SERVER_CANCELLED } else { SERVER_DONE });
    }

    fn note(&self, id: u64, word: u8) {
        let words = self.slot(id).fetch_or(word, SeqCst) | word;
        let contradictions = [
            (CLIENT_HAS_OK | SERVER_CANCELLED, "the client has OK and the server's close says no"),
            (CLIENT_HAS_DEADLINE_EXCEEDED | SERVER_DONE, "it expired and its close says done"),
            (SERVER_DONE | SERVER_CANCELLED, "its close came twice"),
        ];
        for (both, what) in contradictions {
            if words & both == both {
                self.fault(format!("call {id}: {what}"));
            }
        }
    }

    fn slot(&self, id: u64) -> &AtomicU8 {
        &self.calls[id as usize % REMEMBERED]
    }

    /// Something went wrong.
    pub(crate) fn fault(&self, what: String) {
        let mut faults = self.faults.lock().unwrap();
        if faults.len() < 100 {
            faults.push(what);
        }
    }

    pub(crate) fn assert_no_faults(&self) {
        let faults = self.faults.lock().unwrap();
        assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    }
}
