//! Which traces are kept, as `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG` say.

/// What decides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sampler {
    /// Whoever began the trace has decided.
    parent_based: bool,
    /// Of 2^63 traces so many are kept.
    kept: u64,
}

const ALL: u64 = 1 << 63;

impl Sampler {
    /// The sampler of this name; and what is wrong with the two values, if anything is.
    pub(crate) fn named(name: Option<&str>, argument: Option<&str>) -> (Self, Option<String>) {
        let default = Self { parent_based: true, kept: ALL };
        let Some(name) = name else { return (default, None) };
        let (parent_based, root) =
            name.strip_prefix("parentbased_").map_or((false, name), |root| (true, root));
        let kept = match root {
            "always_on" => ALL,
            "always_off" => 0,
            "traceidratio" => {
                let ratio = argument.map_or(Some(1.0), |ratio| ratio.parse::<f64>().ok());
                match ratio.filter(|ratio| (0.0..=1.0).contains(ratio)) {
                    Some(ratio) => (ratio * ALL as f64) as u64,
                    None => {
                        let argument = argument.unwrap_or_default();
                        let problem = format!(
                            "OTEL_TRACES_SAMPLER_ARG is `{argument}`, which is no number from 0 to 1: all traces are kept."
                        );
                        return (Self { parent_based, kept: ALL }, Some(problem));
                    }
                }
            }
            _ => {
                let problem = format!(
                    "OTEL_TRACES_SAMPLER is `{name}`, which is none of always_on, always_off, traceidratio and the same behind \
                     `parentbased_`: all traces are kept."
                );
                return (default, Some(problem));
            }
        };
        (Self { parent_based, kept }, None)
    }

    /// Whether a span of this trace is kept; `parent` says whether the one around it is.
    #[inline]
    pub(crate) fn keeps(&self, parent: Option<bool>, trace: u128) -> bool {
        match parent {
            Some(sampled) if self.parent_based => sampled,
            // The same trace is kept everywhere or nowhere, as other programs decide it.
            _ => ((trace as u64) >> 1) < self.kept,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(name: &str, argument: &str) -> Sampler {
        let (sampler, problem) = Sampler::named(Some(name), Some(argument));
        assert_eq!(problem, None);
        sampler
    }

    #[test]
    fn samplers_are_those_of_the_specification() {
        let (default, problem) = Sampler::named(None, None);
        assert!(problem.is_none() && default.keeps(None, u128::MAX) && !default.keeps(Some(false), 1));
        assert!(!sampler("always_off", "").keeps(Some(true), 0));
        assert!(sampler("parentbased_always_off", "").keeps(Some(true), 0));
        assert!(!sampler("parentbased_always_off", "").keeps(None, 0));
        let tenth = sampler("traceidratio", "0.1");
        assert!(tenth.keeps(Some(false), 1) && !tenth.keeps(Some(true), u128::from(u64::MAX)));
        let kept = (0..1000u64)
            .filter(|part| tenth.keeps(None, u128::from(part * (u64::MAX / 1000) + u64::MAX / 2000)))
            .count();
        assert_eq!(kept, 100);
    }

    #[test]
    fn mistakes_are_told_and_keep_everything() {
        for (name, argument) in [("traceidratio", "2"), ("traceidratio", "often"), ("jaeger_remote", "1")] {
            let (sampler, problem) = Sampler::named(Some(name), Some(argument));
            assert!(problem.is_some() && sampler.keeps(None, u128::MAX), "{name} {argument}");
        }
    }
}
