//! The report as one HTML page: nothing is fetched, nothing runs, light and dark as the reader's
//! system is.
//!
//! Made of the report alone. Whatever is text in it is escaped, because names and logs of other
//! programs are in it.

use super::figure::{Bound, Missing, Played, Plot};
use super::plot::{NARROW, WIDE, svg};
use super::report::Report;
use super::stats;
use super::table::{contestants, find, number, rows, verdict};
use std::fmt::Write;

/// How the page looks.
const STYLE: &str = include_str!("page/style.css");
/// How the figures are to be read.
const READING: &str = include_str!("page/reading.html");

/// The page.
///
/// # Errors
/// Where a text cannot be put together; never in practice.
pub(crate) fn page(report: &Report) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    let machine = &report.machine;
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>Weft, measured</title>\n\
         <style>{STYLE}</style>\n<main>\n<header>\n<h1>Weft, measured</h1>\n\
         <p class=\"lead\">Weft {}, beside the floor and its rivals, in one run on one machine.</p>\n\
         <pre class=\"command\">{}</pre>\n",
        escaped(machine.versions.get("weft").map_or("", String::as_str)),
        escaped(&report.command),
    )?;
    if machine.profile != "release" {
        out.push_str(
            "<p class=\"warning\">This was a debug build: its figures say nothing about speed.</p>\n",
        );
    }
    for (name, fault) in report.faults() {
        let (name, fault) = (escaped(name), escaped(fault));
        writeln!(out, "<p class=\"warning\"><b>Fault in {name}:</b> {fault}</p>")?;
    }
    out.push_str("</header>\n");
    targets(&mut out, report)?;
    for played in &report.scenarios {
        scenario(&mut out, played)?;
    }
    out.push_str("<section>\n<h2>How to read it</h2>\n");
    out.push_str(READING);
    out.push_str("</section>\n<section>\n<h2>Where it was measured</h2>\n<dl>\n");
    let entries = [
        ("Machine", format!("{} cores, {}", machine.cores, machine.processor)),
        ("Memory", format!("{} MiB", machine.memory_mib)),
        ("Kernel", format!("Linux {}", machine.kernel)),
        ("Build", machine.profile.clone()),
        ("Load average at the start", machine.load_average.clone()),
        ("Began", report.began.clone()),
        ("Took", format!("{:.0} s", report.lasted_seconds)),
        ("Seed", report.seed.to_string()),
        ("Level", report.level.word().to_owned()),
    ];
    for (name, value) in entries {
        writeln!(out, "<div><dt>{}</dt><dd>{}</dd></div>", escaped(name), escaped(&value))?;
    }
    for (name, version) in &machine.versions {
        writeln!(out, "<div><dt>{}</dt><dd>{}</dd></div>", escaped(name), escaped(version))?;
    }
    out.push_str("</dl>\n");
    missing(&mut out, "Not installed, and so not measured", &report.missing)?;
    out.push_str("</section>\n</main>\n</html>\n");
    Ok(out)
}

fn targets(out: &mut String, report: &Report) -> std::fmt::Result {
    let all: Vec<_> = report
        .scenarios
        .iter()
        .flat_map(|played| played.targets.iter().map(|target| (&played.name, target)))
        .collect();
    if all.is_empty() {
        return Ok(());
    }
    let met = all.iter().filter(|(_, target)| target.is_met() == Some(true)).count();
    let known = all.iter().filter(|(_, target)| target.is_met().is_some()).count();
    write!(
        out,
        "<section>\n<h2>Targets</h2>\n<p>{met} of {known} that could be judged are met.</p>\n\
         <div class=\"scroll\"><table>\n<thead><tr><th>Scenario</th><th>Figure</th><th></th>\
         <th class=\"n\">Weft</th><th class=\"n\">Limit</th><th class=\"n\">Ratio</th>\
         <th>Held against</th></tr></thead>\n<tbody>\n"
    )?;
    for (name, target) in all {
        let word = verdict(target);
        let sign = match target.bound {
            Bound::AtMost => "≤",
            Bound::AtLeast => "≥",
        };
        let unit = escaped(&target.unit);
        let value = |sign: &str, value: Option<f64>| {
            let told = |value| format!("{sign} {} {unit}", number(value)).trim().to_owned();
            value.map_or_else(|| "–".to_owned(), told)
        };
        let ratio = target.ratio().map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2} ×"));
        writeln!(
            out,
            "<tr><td><a href=\"#{0}\">{0}</a></td><td>{1}</td>\
             <td><span class=\"verdict {2}\">{2}</span></td><td class=\"n\">{3}</td>\
             <td class=\"n\">{4}</td><td class=\"n\">{ratio}</td><td>{5}</td></tr>",
            escaped(name),
            escaped(&target.what),
            word.to_lowercase(),
            value("", target.measured),
            value(sign, target.limit),
            escaped(&target.against),
        )?;
    }
    out.push_str("</tbody></table></div>\n</section>\n");
    Ok(())
}

fn scenario(out: &mut String, played: &Played) -> std::fmt::Result {
    let name = escaped(&played.name);
    write!(out, "<section id=\"{name}\">\n<h2>{name}</h2>\n<p>{}</p>\n", escaped(&played.what))?;
    for plot in &played.plots {
        figure(out, plot)?;
    }
    missing(out, "Not measured here", &played.missing)?;
    if played.figures.iter().next().is_some() {
        all_figures(out, played)?;
    }
    if !played.notes.is_empty() {
        let count = played.notes.len();
        write!(out, "<details><summary>Notes ({count})</summary>\n<ul>\n")?;
        for note in &played.notes {
            writeln!(out, "<li>{}</li>", escaped(note))?;
        }
        out.push_str("</ul></details>\n");
    }
    let settings: Vec<String> =
        played.settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
    write!(
        out,
        "<p class=\"settings\">{} · took {:.0} s</p>\n</section>\n",
        escaped(&settings.join(" · ")),
        played.lasted_seconds
    )
}

fn figure(out: &mut String, plot: &Plot) -> std::fmt::Result {
    // A plot without a point has nothing to show, and its figures say so.
    let (Ok(wide), Ok(narrow)) = (svg(plot, WIDE), svg(plot, NARROW)) else { return Ok(()) };
    let (title, note) = (escaped(&plot.title), escaped(&plot.note));
    write!(out, "<figure>\n<figcaption><b>{title}</b> {note}</figcaption>\n")?;
    if plot.drawn == super::figure::Drawn::Lines {
        out.push_str("<ul class=\"legend\">");
        for line in &plot.lines {
            let colour = super::plot::colour(&line.name);
            write!(out, "<li><i class=\"c{}\"></i>{}</li>", colour.2, escaped(&line.name))?;
        }
        out.push_str("</ul>\n");
    }
    let labelled =
        |svg: &str| svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{title}\" "), 1);
    write!(
        out,
        "<div class=\"wide\">{}</div><div class=\"narrow\">{}</div>\n</figure>\n",
        labelled(&wide),
        labelled(&narrow)
    )
}

fn all_figures(out: &mut String, played: &Played) -> std::fmt::Result {
    let names = contestants(played);
    out.push_str(
        "<details><summary>All figures</summary>\n<div class=\"scroll\"><table>\n<thead><tr><th></th>",
    );
    for name in &names {
        write!(out, "<th class=\"n\">{}</th>", escaped(name))?;
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for (what, at, unit) in rows(played) {
        let at_text = if at.is_empty() { String::new() } else { format!(", {at}") };
        let unit = if unit.is_empty() { unit } else { format!(" ({unit})") };
        write!(out, "<tr><td>{}</td>", escaped(&format!("{what}{at_text}{unit}")))?;
        for name in &names {
            let Some(figure) = find(played, &what, &at, name) else {
                out.push_str("<td class=\"n\">–</td>");
                continue;
            };
            let rounds: Vec<String> = figure.rounds.iter().map(|round| number(*round)).collect();
            let spread = stats::spread(&figure.rounds).filter(|_| figure.rounds.len() > 1);
            let spread = spread
                .map(|spread| format!(" <small>±{:.0}%</small>", spread * 100.0))
                .unwrap_or_default();
            write!(
                out,
                "<td class=\"n\" title=\"rounds: {}\">{}{spread}</td>",
                rounds.join(", "),
                figure.median().map_or_else(|| "–".to_owned(), number)
            )?;
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div></details>\n");
    Ok(())
}

fn missing(out: &mut String, title: &str, missing: &[Missing]) -> std::fmt::Result {
    if missing.is_empty() {
        return Ok(());
    }
    writeln!(out, "<div class=\"missing\"><b>{title}</b><ul>")?;
    for Missing { name, why } in missing {
        let why = why.lines().next().unwrap_or_default();
        writeln!(out, "<li><b>{}</b>: {}</li>", escaped(name), escaped(why))?;
    }
    out.push_str("</ul></div>\n");
    Ok(())
}

/// Text that cannot be taken for anything else in HTML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests;
