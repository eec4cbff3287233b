//! Which polling engine a process has. Alone in its program, since that is chosen once.

use turnstile::error::ErrorKind;
use turnstile::{Server, engine_name};

#[test]
fn the_first_server_chooses_the_engine_and_the_next_ones_must_want_the_same() {
    let bind = |preferences| Server::builder().polling_engine(preferences).bind("127.0.0.1:0");
    let error = bind("epoll9").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("known are epollex, epoll1, poll and all"), "{error}");

    let first = bind("poll, epoll1").unwrap();
    assert_eq!(engine_name().unwrap(), "poll");
    let second = bind("all").unwrap();

    let error = bind("epoll1").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("epoll1, but poll runs already"), "{error}");
    drop((first, second));
}
