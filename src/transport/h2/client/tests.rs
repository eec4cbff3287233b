//! A client over the real engine, whose server is frames: [`peer`] has the server.

mod chaos;
mod connection;
mod ends;
mod negative;
mod peer;
mod places;
mod responses;
