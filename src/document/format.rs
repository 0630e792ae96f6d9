//! What kind of document a file is, by its first bytes.
//!
//! Printers print what they are given: a login page that an object store's proxy sent instead of an invoice comes out
//! as pages of HTML. So what was fetched is compared with what the ticket said. Only formats with a signature are
//! known; plain text, PCL without an escape in front and whatever else has none stay `None`, which is no objection.
//! Not a validator: a file that begins like a PDF may still be broken.

/// How many first bytes [`sniff`] looks at.
pub const SNIFF_BYTES: usize = 1024;

/// The media type that the first bytes show, if they show one.
pub fn sniff(head: &[u8]) -> Option<&'static str> {
    let head = head.get(..SNIFF_BYTES).unwrap_or(head);
    for (signature, format) in SIGNATURES {
        if head.starts_with(signature) {
            return Some(format);
        }
    }
    if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
        return Some("image/webp");
    }
    // Readers accept a PDF header anywhere in the first 1024 bytes (PDF 1.7, implementation note 13); so do printers.
    if head.windows(5).any(|window| window == b"%PDF-") {
        return Some("application/pdf");
    }
    sniff_markup(head)
}

/// `application/vnd.hp-PCL` stands for everything that opens with a printer language command: PCL 5, PJL wrappers.
const SIGNATURES: &[(&[u8], &str)] = &[
    (b"%PDF-", "application/pdf"),
    (b"%!", "application/postscript"),
    (b"\x04%!", "application/postscript"),
    (b"\xc5\xd0\xd3\xc6", "application/postscript"),
    (b"RaS2", "image/pwg-raster"),
    (b"RaS3", "application/vnd.cups-raster"),
    (b"3SaR", "application/vnd.cups-raster"),
    (b"2SaR", "image/pwg-raster"),
    (b"UNIRAST\0", "image/urf"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b") HP-PCL XL;", "application/vnd.hp-PCLXL"),
    (b"\x1b%-12345X", "application/vnd.hp-PCL"),
    (b"@PJL", "application/vnd.hp-PCL"),
    (b"\x1bE", "application/vnd.hp-PCL"),
    (b"\x1b&", "application/vnd.hp-PCL"),
    (b"\x1b*", "application/vnd.hp-PCL"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
];

/// HTML and XML, behind a byte order mark and white space.
fn sniff_markup(head: &[u8]) -> Option<&'static str> {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let begins = |tag: &str| text.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes()));
    if ["<!doctype html", "<html", "<head", "<body", "<script"].iter().any(|tag| begins(tag)) {
        return Some("text/html");
    }
    if begins("<?xml") || begins("<Error>") {
        let looks_like_html = text.windows(5).any(|window| window.eq_ignore_ascii_case(b"<html"));
        return Some(if looks_like_html { "text/html" } else { "application/xml" });
    }
    None
}

/// The document is something else than the ticket says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the document is {found}, not {declared} as the ticket says")]
pub struct FormatMismatch {
    /// The media type in the ticket, bounded.
    pub declared: String,
    /// What the first bytes show.
    pub found: &'static str,
}

/// Compares the ticket's `format` with what [`sniff`] found. No objection when nothing was found, when the ticket
/// leaves it open (`application/octet-stream`), or when the format is one whose look is not known.
pub fn check(declared: &str, found: Option<&'static str>) -> Result<(), FormatMismatch> {
    let Some(found) = found else { return check_missing_signature(declared) };
    let essence = essence(declared);
    if essence == "application/octet-stream" || same(&essence, found) {
        return Ok(());
    }
    // A printer language wrapper (PJL) may hold any printer-ready format; a page description may be sent as text/plain
    // on purpose, but a web page as anything else than text or HTML never is.
    let declared_is_known = SIGNATURES.iter().any(|(_, known)| same(&essence, known)) || essence.starts_with("image/");
    let wrapped = found == "application/vnd.hp-PCL" && !essence.starts_with("image/");
    let page_in_disguise = found == "text/html" && !essence.starts_with("text/");
    if (declared_is_known && !wrapped) || page_in_disguise {
        return Err(FormatMismatch { declared: essence.chars().take(80).collect(), found });
    }
    Ok(())
}

/// Formats that always open with their signature.
fn check_missing_signature(declared: &str) -> Result<(), FormatMismatch> {
    let essence = essence(declared);
    if matches!(essence.as_str(), "application/pdf" | "image/pwg-raster" | "image/urf" | "image/jpeg" | "image/png") {
        return Err(FormatMismatch { declared: essence, found: "of an unknown format" });
    }
    Ok(())
}

/// The media type without parameters, lower case.
fn essence(format: &str) -> String {
    format.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn same(essence: &str, known: &str) -> bool {
    let canonical = match essence {
        "image/jpg" | "image/pjpeg" => "image/jpeg",
        "application/x-pdf" => "application/pdf",
        "application/vnd.hp-pclxl" | "application/vnd.hp-pcl6" => "application/vnd.hp-PCLXL",
        "application/vnd.hp-pcl" | "application/pcl" | "application/vnd.hp-pjl" => "application/vnd.hp-PCL",
        "application/xhtml+xml" => "text/html",
        "text/xml" => "application/xml",
        other => other,
    };
    canonical.eq_ignore_ascii_case(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn signatures_are_found() {
        for (head, format) in [
            (&b"%PDF-1.7\n"[..], Some("application/pdf")),
            (b"\xef\xbb\xbf\r\n%PDF-1.4", Some("application/pdf")),
            (b"%!PS-Adobe-3.0", Some("application/postscript")),
            (b"\xff\xd8\xff\xe0", Some("image/jpeg")),
            (b"\x89PNG\r\n\x1a\n", Some("image/png")),
            (b"RaS2\0\0", Some("image/pwg-raster")),
            (b"UNIRAST\0\0", Some("image/urf")),
            (b"\x1b%-12345X@PJL", Some("application/vnd.hp-PCL")),
            (b"\n <!DOCTYPE HTML><html>", Some("text/html")),
            (b"<?xml version=\"1.0\"?><Error><Code>AccessDenied", Some("application/xml")),
            (b"<?xml version=\"1.0\"?><html xmlns", Some("text/html")),
            (b"Hello", None),
            (b"", None),
        ] {
            assert_eq!(sniff(head), format, "{head:?}");
        }
    }

    #[test]
    fn a_web_page_is_not_a_pdf() {
        let error = check("application/pdf", sniff(b"<html><body>Please sign in")).unwrap_err();
        assert_eq!(error.to_string(), "the document is text/html, not application/pdf as the ticket says");
        assert!(check("image/urf", sniff(b"%PDF-1.4")).is_err());
        assert!(check("application/vnd.hp-PCL", sniff(b"<html>")).is_err());
        assert!(check("application/x-unknown", sniff(b"<html>")).is_err());
        assert!(check("application/pdf", sniff(b"plain words")).is_err());
    }

    #[test]
    fn what_cannot_be_judged_passes() {
        for (declared, head) in [
            ("application/octet-stream", &b"<html>"[..]),
            ("application/PDF; charset=binary", b"%PDF-1.4"),
            ("application/postscript", b"\x1b%-12345X@PJL ENTER LANGUAGE=POSTSCRIPT"),
            ("application/pdf", b"\x1b%-12345X@PJL\n%PDF-1.4"),
            ("text/plain", b"%!PS"),
            ("text/html", b"<html>"),
            ("application/vnd.hp-pcl", b"no escape in front"),
            ("application/vnd.zebra-zpl", b"^XA"),
            ("image/jpg", b"\xff\xd8\xff"),
        ] {
            assert_eq!(check(declared, sniff(head)), Ok(()), "{declared}");
        }
    }

    proptest! {
        #[test]
        fn total(head in proptest::collection::vec(any::<u8>(), 0..2000), declared in "\\PC{0,40}") {
            let _ = check(&declared, sniff(&head));
        }
    }
}
