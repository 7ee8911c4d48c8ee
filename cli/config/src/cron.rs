//! The syntax of cron expressions, checked when the configuration is read.
//!
//! The original does not check them (spec 2.12), so a wrong one is only noticed when nothing happens. An expression has
//! five fields, minute to weekday, in the dialect of the `croner` crate (ranges, steps, names, `L`, `W` and `#`).

use croner::parser::{CronParser, Seconds, Year};

/// Says what is wrong with an expression.
pub(crate) fn check(expression: &str) -> Result<(), String> {
    let fields = expression.split_whitespace().count();
    if fields != 5 {
        return Err(format!("a cron expression has five fields, as in `\"0 * * * *\"`; this has {fields}"));
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(expression).map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn five_fields_are_wanted_and_each_is_checked() {
        for right in ["* * * * *", "*/5 0-6 1,15 JAN-MAR MON", "0 0 * * 7", "59 23 L * *", " 0  1 * * 1 "] {
            assert_eq!(check(right), Ok(()), "{right}");
        }
        for wrong in
            ["", "* * * *", "* * * * * *", "60 * * * *", "a b c d e", "*/0 * * * *", "@daily", "0 24 * * *"]
        {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
