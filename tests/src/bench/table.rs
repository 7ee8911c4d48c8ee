//! The results as a table for people and as JSON for programs, and which ratios may be shown.

use serde_json::{Value as Json, json};

use super::contender::Contender;
use super::figures::{Figure, Unit};

/// Beyond this the load generator was the slower side, and a ratio would tell about it instead of the servers.
pub const CLIENT_BUSY_MAX: f64 = 0.9;

/// One row of the table: a figure of each server that was measured.
#[derive(Clone, Debug)]
pub struct Row {
    /// The figure's name.
    pub name: String,
    /// Each server's.
    pub figures: Vec<(Contender, Figure)>,
}

/// Sorts what was measured into rows, in the order of the first server.
pub fn rows(measured: &[(Contender, Vec<Figure>)]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for (who, figures) in measured {
        for figure in figures {
            let entry = (*who, figure.clone());
            match rows.iter_mut().find(|row| row.name == figure.name) {
                Some(row) => row.figures.push(entry),
                None => rows.push(Row { name: figure.name.clone(), figures: vec![entry] }),
            }
        }
    }
    rows
}

impl Row {
    fn of(&self, who: Contender) -> Option<&Figure> {
        self.figures.iter().find(|(other, _)| *other == who).map(|(_, figure)| figure)
    }

    /// How many times better partyrun is than `other`; an error says why that cannot be told.
    pub fn ratio(&self, other: Contender) -> Result<f64, &'static str> {
        let (Some(ours), Some(theirs)) = (self.of(Contender::Partyrun), self.of(other)) else {
            return Err("-");
        };
        let busy = [ours, theirs].into_iter().filter_map(|figure| figure.value.client_busy);
        if busy.fold(0.0, f64::max) > CLIENT_BUSY_MAX {
            return Err("client too slow");
        }
        match ours.unit {
            Unit::Throughput => Ok(ours.value.main / theirs.value.main),
            Unit::Milliseconds | Unit::Kib | Unit::Bytes => Ok(theirs.value.main / ours.value.main),
            Unit::Percent => Err("-"),
        }
    }
}

fn show(figure: &Figure) -> String {
    let value = figure.value.main;
    match figure.unit {
        Unit::Throughput => {
            let per_second = figure.value.per_second.unwrap_or(f64::NAN);
            format!("{} /CPU-s ({} /s)", thousands(value), thousands(per_second))
        }
        Unit::Milliseconds if value < 10.0 => format!("{value:.2} ms"),
        Unit::Milliseconds => format!("{value:.0} ms"),
        Unit::Kib if value >= 10_240.0 => format!("{:.0} MiB", value / 1024.0),
        Unit::Kib if value >= 1024.0 => format!("{:.2} MiB", value / 1024.0),
        Unit::Kib => format!("{value:.1} KiB"),
        Unit::Bytes => thousands(value),
        Unit::Percent => format!("{value:+.1} %"),
    }
}

// Rounded to three digits, with commas.
fn thousands(value: f64) -> String {
    if !value.is_finite() {
        return "?".to_string();
    }
    let step = 10_f64.powf((value.abs().max(1.0).log10().floor() - 2.0).max(0.0));
    let rounded = ((value / step).round() * step) as u64;
    let digits = rounded.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The table in Markdown, as it stands in docs/benchmarks.md.
pub fn markdown(rows: &[Row], contenders: &[Contender]) -> String {
    let ratio_name = |who: &Contender| format!("partyrun : {}", who.name());
    let others: Vec<Contender> =
        contenders.iter().copied().filter(|who| *who != Contender::Partyrun).collect();
    let others = if contenders.contains(&Contender::Partyrun) { others } else { Vec::new() };
    let mut head = vec!["what".to_string()];
    head.extend(contenders.iter().map(|who| who.name().to_string()));
    head.extend(others.iter().map(ratio_name));
    let mut lines = vec![line(&head), line(&vec!["---".to_string(); head.len()])];
    for row in rows {
        let mut cells = vec![row.name.clone()];
        cells.extend(contenders.iter().map(|who| row.of(*who).map_or_else(|| "-".to_string(), show)));
        cells.extend(others.iter().map(|who| match row.ratio(*who) {
            Ok(ratio) if ratio < 10.0 => format!("{ratio:.2}"),
            Ok(ratio) => format!("{ratio:.0}"),
            Err(reason) => reason.to_string(),
        }));
        lines.push(line(&cells));
    }
    lines.join("\n")
}

fn line(cells: &[String]) -> String {
    format!("| {} |", cells.join(" | "))
}

/// The same as JSON.
pub fn to_json(rows: &[Row], contenders: &[Contender]) -> Json {
    let row = |row: &Row| {
        let figures: serde_json::Map<String, Json> = row
            .figures
            .iter()
            .map(|(who, figure)| {
                let value = &figure.value;
                let busy = value.client_busy;
                (
                    who.name().to_string(),
                    json!({ "value": value.main, "per_second": value.per_second, "client_busy": busy }),
                )
            })
            .collect();
        let ratios: serde_json::Map<String, Json> = contenders
            .iter()
            .filter(|who| **who != Contender::Partyrun)
            .map(|who| (who.name().to_string(), row.ratio(*who).map_or_else(Json::from, Json::from)))
            .collect();
        let unit = match row.figures.first().map(|(_, figure)| figure.unit) {
            Some(Unit::Throughput) => "per CPU-second of the server",
            Some(Unit::Milliseconds) => "ms",
            Some(Unit::Kib) => "KiB",
            Some(Unit::Bytes) => "bytes",
            Some(Unit::Percent) | None => "%",
        };
        json!({ "name": row.name, "unit": unit, "figures": figures, "partyrun_to": ratios })
    };
    Json::Array(rows.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::super::figures::Value;
    use super::*;

    fn measured(who: Contender, unit: Unit, main: f64, busy: Option<f64>) -> (Contender, Vec<Figure>) {
        let value = Value { main, per_second: None, client_busy: busy };
        (who, vec![Figure { name: "x".to_string(), unit, value }])
    }

    #[test]
    fn more_throughput_and_less_time_are_better() {
        let rows_of = |unit| {
            rows(&[
                measured(Contender::Partyrun, unit, 30.0, None),
                measured(Contender::Original, unit, 10.0, None),
            ])
        };
        assert_eq!(rows_of(Unit::Throughput)[0].ratio(Contender::Original), Ok(3.0));
        assert_eq!(rows_of(Unit::Milliseconds)[0].ratio(Contender::Original), Ok(1.0 / 3.0));
        assert!(rows_of(Unit::Percent)[0].ratio(Contender::Original).is_err());
        assert!(rows_of(Unit::Kib)[0].ratio(Contender::Bun).is_err());
    }

    #[test]
    fn a_busy_client_gives_no_ratio() {
        let rows = rows(&[
            measured(Contender::Partyrun, Unit::Throughput, 30.0, Some(0.95)),
            measured(Contender::Original, Unit::Throughput, 10.0, Some(0.2)),
        ]);
        assert_eq!(rows[0].ratio(Contender::Original), Err("client too slow"));
        assert!(markdown(&rows, &[Contender::Partyrun, Contender::Original]).contains("client too slow"));
    }

    #[test]
    fn numbers_are_rounded_to_what_they_are_worth() {
        assert_eq!(thousands(1_234_567.0), "1,230,000");
        assert_eq!(thousands(48_249.0), "48,200");
        assert_eq!(thousands(7.4), "7");
    }
}
