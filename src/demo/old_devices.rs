//! The part of the story that devices without IPP, and without PDF, play: an old laser on AppSocket and SNMPv1 that jams
//! and recovers, and a label printer.

use super::documents::Served;
use super::records::{completed, is_alert, of_job, way};
use super::story::{Story, ticket};
use super::{DEADLINE, Unmet};
use crate::simulate::{Fault, Via};
use serde_json::json;

/// The old laser, by its name in the office.
pub(super) const OLD_LASER: &str = "Archive";
/// The label printer.
const LABELS: &str = "Labels";
/// Pages of the report: enough to jam in between.
const PAGES: u32 = 5;
/// What a paper jam is called.
const JAM: &str = "media-jam";

/// A PostScript document with so many pages (DSC 3.0).
fn postscript(title: &str, pages: u32) -> Vec<u8> {
    let mut text = format!("%!PS-Adobe-3.0\n%%Title: {title}\n%%Pages: {pages}\n%%EndComments\n");
    for page in 1..=pages {
        text.push_str(&format!(
            "%%Page: {page} {page}\n/Courier findfont 14 scalefont setfont\n72 720 moveto\n({title}, page {page}) show\n\
             showpage\n"
        ));
    }
    text.push_str("%%EOF\n");
    text.into_bytes()
}

/// One label in ZPL II.
fn zpl(text: &str) -> Vec<u8> {
    format!("^XA^FO50,50^A0N,40,40^FD{text}^FS^FO50,120^BCN,100,Y,N,N^FD00042^FS^XZ\n").into_bytes()
}

impl Story<'_> {
    /// A report jams in the old laser, and comes out after all.
    pub(super) async fn jam(&mut self) -> Result<(), Unmet> {
        self.tell.begin("jam", "the old laser to jam");
        let printer = self.id(OLD_LASER)?;
        let document = self.put("report.ps", postscript("Archive report", PAGES))?;
        self.office()?.set_fault(OLD_LASER, Fault::Jam)?;
        let (topic, ticket) = ticket(&printer, "report-49", "Archive report", &document, "application/postscript", 1);
        let cloud = self.cloud()?;
        cloud.publish(&topic, &ticket).await?;
        let what = format!("the event {JAM} of {OLD_LASER}");
        let raised = cloud
            .wait(DEADLINE, &what, |heard| heard.iter().find(|h| is_alert(h, &printer, JAM, true)).cloned())
            .await?;
        let under_way = cloud.wait(DEADLINE, "a status `sending` of report-49", |heard| {
            of_job(heard, "report-49").any(|h| ["sending", "printing"].contains(&h.text("status"))).then_some(())
        });
        under_way.await?;
        let lines = vec![
            format!("{OLD_LASER} is old: no IPP, no announcement. It stands in the configured list and speaks SNMPv1."),
            format!("A PostScript report of {PAGES} pages goes to it over AppSocket. PAPER JAM."),
            format!("SNMP tells: {}. The job waits at the printer; nobody sends it again.", raised.text("message")),
        ];
        self.tell.done(&lines, json!({"ticket": ticket, "event": raised.body}))?;

        self.tell.begin("unjammed", "the report to come out");
        self.office()?.clear_fault(OLD_LASER, Some("jam"))?;
        let cloud = self.cloud()?;
        let path = completed(cloud, "report-49").await?;
        let last = of_job(&cloud.heard(), "report-49").last().map(|h| h.body.clone()).unwrap_or_default();
        let what = format!("the event that {JAM} of {OLD_LASER} is over");
        let cleared = cloud
            .wait(DEADLINE, &what, |heard| heard.iter().find(|h| is_alert(h, &printer, JAM, false)).cloned())
            .await?;
        let (told, detail) = self.on_paper("Archive report", &document, Via::Appsocket).await?;
        let pages = last.pointer("/pages/reported").and_then(serde_json::Value::as_u64);
        let mut lines = vec![
            format!("Somebody takes the paper out. {}.", cleared.text("message")),
            format!("report-49: {}", way(&path)),
        ];
        lines.push(match pages {
            Some(pages) => format!("The printer told the end of the job in PJL, and its pages: {pages}."),
            None => "The printer took the whole document and says nothing of pages.".to_owned(),
        });
        lines.extend(told);
        let detail = json!({"event": cleared.body, "statuses": path, "last": last, "printed": detail});
        self.tell.done(&lines, detail)?;
        Ok(())
    }

    /// A label in the printer's own language.
    pub(super) async fn label(&mut self) -> Result<(), Unmet> {
        self.tell.begin("label", "the label");
        let printer = self.id(LABELS)?;
        let document: Served = self.put("label.zpl", zpl("Shelf 42"))?;
        let (topic, ticket) = ticket(&printer, "label-50", "Shelf label", &document, "application/vnd.zebra-zpl", 1);
        let cloud = self.cloud()?;
        cloud.publish(&topic, &ticket).await?;
        let path = completed(cloud, "label-50").await?;
        let (told, detail) = self.on_paper("Shelf label", &document, Via::Ipps).await?;
        let mut lines = vec![format!("A label in ZPL for {LABELS}: {}", way(&path))];
        lines.extend(told);
        self.tell.done(&lines, json!({"ticket": ticket, "statuses": path, "printed": detail}))?;
        Ok(())
    }
}
