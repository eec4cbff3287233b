//! What is where: the database of gRPC's tutorial.

use serde::Deserialize;
use turnstile_protos::routeguide::{Feature, Point};

/// A row of the database.
#[derive(Deserialize)]
struct Row {
    location: Location,
    name: String,
}

#[derive(Deserialize)]
struct Location {
    latitude: i32,
    longitude: i32,
}

impl From<Row> for Feature {
    fn from(Row { location: Location { latitude, longitude }, name }: Row) -> Self {
        Self { name, location: Some(Point { latitude, longitude }) }
    }
}

/// All of it.
pub(crate) fn load() -> Vec<Feature> {
    let rows: Vec<Row> = serde_json::from_str(include_str!("route_guide_db.json"))
        .expect("the database is compiled in, and was valid when this was");
    rows.into_iter().map(Feature::from).collect()
}
