//! Which documents an AppSocket or LPD endpoint takes, from what is known of it: its `pdl` list, its interpreters, the
//! configured list. These protocols do not refuse what they cannot read, they print it as text, page after page. So
//! nothing is sent that is not known to be taken.

use crate::domain::job::Problem;

/// Whether a document of this format may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// The printer takes it.
    Taken,
    /// Nothing is known of what the printer takes.
    NothingKnown,
    /// It takes others.
    Refused(Problem),
}

/// The format in its usual spelling: lower case, no parameters, one name for each language.
pub fn canonical(format: &str) -> String {
    let essence = format.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/pcl" | "application/x-pcl" | "application/vnd.hp-pcl5" => "application/vnd.hp-pcl".into(),
        "application/vnd.hp-pcl6" | "application/pclxl" => "application/vnd.hp-pclxl".into(),
        "application/x-postscript" | "application/ps" => "application/postscript".into(),
        "application/x-pdf" => "application/pdf".into(),
        "image/jpg" | "image/pjpeg" => "image/jpeg".into(),
        _ => essence,
    }
}

/// Holds a document's format against what `printer` is known to take. `application/octet-stream` stands for itself and
/// for nothing else: a printer that guesses may guess wrong.
pub fn fit(printer: &str, format: &str, known: &[String]) -> Fit {
    let mut names = known.iter().map(|known| canonical(known)).filter(|known| known != super::pjl::FORMAT).peekable();
    if names.peek().is_none() {
        return Fit::NothingKnown;
    }
    let wanted = canonical(format);
    if names.any(|known| known == wanted) {
        return Fit::Taken;
    }
    let message = format!(
        "{printer} is not known to take {format}; it takes {}. Submit one of these, or name the format in printers.list",
        known.join(", ")
    );
    Fit::Refused(Problem::new("document-format-not-supported", Some("document.format"), message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_is_sent() {
        let known = ["application/vnd.hp-PCL", "application/octet-stream", "application/vnd.hp-pjl"].map(String::from);
        for (format, taken) in [
            ("application/vnd.hp-pcl", true),
            ("application/PCL; version=5", true),
            ("application/octet-stream", true),
            ("application/pdf", false),
            ("text/plain", false),
            ("application/vnd.hp-pjl", false),
        ] {
            assert_eq!(fit("p", format, &known) == Fit::Taken, taken, "{format}");
        }
        let Fit::Refused(problem) = fit("socket://p", "application/pdf", &known) else { panic!("taken") };
        assert_eq!(problem.code, "document-format-not-supported");
        assert!(problem.message.contains("application/vnd.hp-PCL, application/octet-stream"), "{}", problem.message);
    }

    #[test]
    fn nothing_known_is_not_everything() {
        assert_eq!(fit("p", "application/pdf", &[]), Fit::NothingKnown);
        assert_eq!(fit("p", "application/pdf", &["application/vnd.hp-pjl".into()]), Fit::NothingKnown);
    }
}
