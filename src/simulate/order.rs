//! What can be done to a simulated printer at run time, in words: the same on the control socket, in a script and on
//! the command line.
//!
//! | words | effect |
//! |---|---|
//! | a fault (see `fault`) | it is set; one of the same kind is replaced |
//! | `clear` | all faults are cleared |
//! | `clear KIND` | the faults of this kind; `clear toner-level:black` those that begin so |
//! | `power-off [keep-queue] [silent]` | connections break and half a page stays on paper; `keep-queue`: jobs received whole are printed after power on, the others are forgotten; `silent`: no mDNS goodbye |
//! | `power-on` | under the same address; the clock and the alert table begin anew |
//! | `sleep` | asleep as soon as its queue is empty, until an IPP request or a job comes |
//! | `wake` | awake |
//! | `move ADDRESS` | another IP address with the same ports, as after a new lease; jobs and clock go on |
//! | `swap PRINTER` | the addresses and ports of the two are exchanged |
//! | `replace-certificate [expired\|not-yet-valid]` | a new key and certificate |
//!
//! Nothing happens to a printer that is on when told to power on, or off when told to power off.

use super::fault::Fault;
use super::tls::Certificate;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// One thing to be done to a printer; the module header says what each does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Set a fault.
    Set(Fault),
    /// Clear the faults of a kind, or all.
    Clear(Option<String>),
    /// Pull the plug.
    PowerOff {
        /// Jobs received whole survive.
        keep_queue: bool,
        /// No mDNS goodbye.
        silent: bool,
    },
    /// Switch on.
    PowerOn,
    /// Sleep now.
    Sleep,
    /// Wake up.
    Wake,
    /// Another IP address.
    Move(IpAddr),
    /// Exchange addresses with another printer.
    Swap(String),
    /// Another certificate.
    ReplaceCertificate(Certificate),
}

/// Words that are no order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no order: use a fault (`printgate simulate --help` lists them), clear [KIND], power-off [keep-queue] \
     [silent], power-on, sleep, wake, move ADDRESS, swap PRINTER or replace-certificate [expired|not-yet-valid]"
)]
pub struct UnknownOrder(pub String);

impl Order {
    /// The order that these words are.
    ///
    /// # Errors
    /// [`UnknownOrder`].
    pub fn from_words<S: AsRef<str>>(words: &[S]) -> Result<Order, UnknownOrder> {
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        let unknown = || UnknownOrder(words.join(" "));
        let order = match words.as_slice() {
            ["clear"] => Order::Clear(None),
            ["clear", kind] => Order::Clear(Some((*kind).to_owned())),
            ["power-off", rest @ ..] => {
                let known = rest.iter().all(|word| matches!(*word, "keep-queue" | "silent"));
                if !known || rest.len() > 2 {
                    return Err(unknown());
                }
                Order::PowerOff { keep_queue: rest.contains(&"keep-queue"), silent: rest.contains(&"silent") }
            }
            ["power-on"] => Order::PowerOn,
            ["sleep"] => Order::Sleep,
            ["wake"] => Order::Wake,
            ["move", address] => Order::Move(address.parse().map_err(|_| unknown())?),
            ["swap", other] => Order::Swap((*other).to_owned()),
            ["replace-certificate"] => Order::ReplaceCertificate(Certificate::Valid),
            ["replace-certificate", "expired"] => Order::ReplaceCertificate(Certificate::Expired),
            ["replace-certificate", "not-yet-valid"] => Order::ReplaceCertificate(Certificate::NotYetValid),
            [fault] => Order::Set(fault.parse().map_err(|_| unknown())?),
            _ => return Err(unknown()),
        };
        Ok(order)
    }
}

impl FromStr for Order {
    type Err = UnknownOrder;

    fn from_str(text: &str) -> Result<Order, UnknownOrder> {
        let words = words(text).ok_or_else(|| UnknownOrder(text.to_owned()))?;
        Order::from_words(&words)
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Order::Set(fault) => f.write_str(&quoted(&fault.to_string())),
            Order::Clear(None) => f.write_str("clear"),
            Order::Clear(Some(kind)) => write!(f, "clear {}", quoted(kind)),
            Order::PowerOff { keep_queue, silent } => {
                f.write_str("power-off")?;
                f.write_str(if *keep_queue { " keep-queue" } else { "" })?;
                f.write_str(if *silent { " silent" } else { "" })
            }
            Order::PowerOn => f.write_str("power-on"),
            Order::Sleep => f.write_str("sleep"),
            Order::Wake => f.write_str("wake"),
            Order::Move(address) => write!(f, "move {address}"),
            Order::Swap(other) => write!(f, "swap {}", quoted(other)),
            Order::ReplaceCertificate(Certificate::Valid) => f.write_str("replace-certificate"),
            Order::ReplaceCertificate(Certificate::Expired) => f.write_str("replace-certificate expired"),
            Order::ReplaceCertificate(Certificate::NotYetValid) => f.write_str("replace-certificate not-yet-valid"),
        }
    }
}

/// The words of a line: separated by white space, which double quotes protect (there is no escape for a quote itself);
/// `None` when a quote is not closed.
pub(super) fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in line.chars() {
        if c == '"' {
            quoted = !quoted;
            word.get_or_insert_default();
        } else if c.is_whitespace() && !quoted {
            words.extend(word.take());
        } else {
            word.get_or_insert_default().push(c);
        }
    }
    words.extend(word);
    (!quoted).then_some(words)
}

fn quoted(word: &str) -> String {
    if word.is_empty() || word.contains(char::is_whitespace) { format!("\"{word}\"") } else { word.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn order() -> impl Strategy<Value = Order> {
        let certificates = vec![Certificate::Valid, Certificate::Expired, Certificate::NotYetValid];
        let name = || "[A-Za-z0-9äß ._-]{1,20}";
        prop_oneof![
            (any::<bool>(), any::<bool>()).prop_map(|(keep_queue, silent)| Order::PowerOff { keep_queue, silent }),
            prop::sample::select(vec![
                Order::PowerOn,
                Order::Sleep,
                Order::Wake,
                Order::Clear(None),
                Order::Clear(Some("toner-level:black".into())),
                Order::Set(Fault::Jam),
                Order::Set(Fault::Firmware("V 2  final".into())),
                Order::Set(Fault::CloneOf("Colour 2".into())),
            ]),
            any::<[u8; 4]>().prop_map(|address| Order::Move(address.into())),
            name().prop_map(Order::Swap),
            prop::sample::select(certificates).prop_map(Order::ReplaceCertificate),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_order_is_its_text(order in order()) {
            prop_assert_eq!(order.to_string().parse::<Order>(), Ok(order));
        }

        #[test]
        fn any_text_is_read(text in "\\PC{0,40}") {
            let _ = text.parse::<Order>();
        }
    }

    #[test]
    fn what_is_no_order_is_named() {
        for text in ["", "power-off slowly", "power-on now", "move there", "swap", "jam now", "\"jam", "clear a b"] {
            let error = text.parse::<Order>().unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("`{}", text.trim_matches('"').get(..2).unwrap_or("")))
                    || text.starts_with('"'),
                "{error}"
            );
        }
    }
}
