//! `printgate outbox`: what waits for the cloud, and how it goes.

use super::Exit;
use super::ask::{self, Ask};
use super::status;
use super::table::{Table, ago, bytes, or_dash};
use crate::console::api::Outbox;
use jiff::Timestamp;

/// Arguments of `printgate outbox`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    ask: Ask,
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<Exit> {
    ask::answer(&args.ask, "/v1/outbox", |outbox| text(outbox, Timestamp::now())).await
}

fn text(outbox: &Outbox, now: Timestamp) -> String {
    let cloud = &outbox.cloud;
    let mut text = format!(
        "outbox  {}\ncloud   {}\n        at most {} messages a second; since the start {} confirmed, {} sent again\n",
        status::outbox(&outbox.totals, now),
        status::cloud(cloud, now),
        cloud.messages_per_second,
        cloud.confirmed,
        cloud.resent
    );
    let mut classes = Table::new(&["CLASS", "WAITING", "SIZE", "OLDEST", "SET ASIDE"]);
    for (name, class) in &outbox.classes {
        classes.row([
            name.clone(),
            class.depth.to_string(),
            bytes(class.bytes),
            or_dash(class.oldest.map(|at| ago(at, now))),
            class.wedged.to_string(),
        ]);
    }
    text.push('\n');
    text.push_str(&classes.render());
    if !outbox.wedged_messages.is_empty() {
        let mut wedged = Table::new(&["SET ASIDE", "ABOUT", "SIZE", "STORED", "TOPIC", "WHY"]);
        for row in &outbox.wedged_messages {
            wedged.row([
                row.id.clone(),
                or_dash(row.about.clone()),
                bytes(row.bytes),
                or_dash(row.at.map(|at| ago(at, now))),
                row.topic.clone(),
                row.why.clone(),
            ]);
        }
        text.push('\n');
        text.push_str(&wedged.render());
    }
    text
}
