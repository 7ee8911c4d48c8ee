//! Vector indexes: `context.vectorize.NAME`. The first vectors decide an index's dimensions, unless its name does.
//!
//! A query looks at every vector of its namespace: exact, and quick enough for the tens of thousands that a project has
//! while it is developed. The metric is cosine, or what stands behind a colon in the configured index name, as in
//! `"movies:euclidean"` or `"movies:dot-product:384"`.

use std::cmp::Ordering;

use partyrun_limits::Limits;
use rusqlite::{OptionalExtension, Row, Transaction, params};
use serde_json::{Map, Value, json};

use crate::arguments::{self, Ids, Query, Vector, Vectors};
use crate::{BindingError, Call, Reply};

const TOP_K_MAX: i64 = 100;

/// How near two vectors are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Metric {
    Cosine,
    Euclidean,
    DotProduct,
}

impl Metric {
    fn of(name: &str) -> Option<Self> {
        match name {
            "cosine" => Some(Self::Cosine),
            "euclidean" => Some(Self::Euclidean),
            "dot-product" => Some(Self::DotProduct),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::Euclidean => "euclidean",
            Self::DotProduct => "dot-product",
        }
    }

    fn score(self, a: &[f32], b: &[f32]) -> f64 {
        let dot =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        match self {
            Self::DotProduct => dot(a, b),
            Self::Euclidean => {
                a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>().sqrt()
            }
            Self::Cosine => {
                let lengths = (dot(a, a) * dot(b, b)).sqrt();
                if lengths == 0.0 { 0.0 } else { dot(a, b) / lengths }
            }
        }
    }

    // The nearest first: a distance is small, a likeness large.
    fn order(self, a: f64, b: f64) -> Ordering {
        match self {
            Self::Euclidean => a.total_cmp(&b),
            Self::Cosine | Self::DotProduct => b.total_cmp(&a),
        }
    }
}

struct Index {
    name: String,
    metric: Metric,
    /// 0: not known yet.
    dimensions: usize,
}

impl Index {
    fn open(database: &Transaction<'_>, binding: &str) -> Result<Self, BindingError> {
        let mut parts = binding.split(':');
        let name = parts.next().unwrap_or_default().to_string();
        let metric = match parts.next() {
            None => Metric::Cosine,
            Some(metric) => Metric::of(metric).ok_or_else(|| {
                BindingError::refused(format!(
                    "the vector index `{binding}` has an unknown metric: write cosine, euclidean or dot-product"
                ))
            })?,
        };
        let dimensions = parts.next().and_then(|number| number.parse().ok()).unwrap_or(0);
        let stored = database
            .prepare_cached("SELECT dimensions FROM vector_index WHERE name = ?")?
            .query_row([&name], |row| row.get::<_, i64>(0))
            .optional()?;
        let dimensions = stored.and_then(|stored| usize::try_from(stored).ok()).unwrap_or(dimensions);
        Ok(Self { name, metric, dimensions })
    }

    fn check(&self, values: &[f32]) -> Result<(), BindingError> {
        if values.is_empty() || (self.dimensions != 0 && values.len() != self.dimensions) {
            return Err(BindingError::refused(format!(
                "invalid vector: the index `{}` has {} dimensions, the vector has {}",
                self.name,
                self.dimensions,
                values.len()
            )));
        }
        Ok(())
    }
}

pub(crate) fn call(database: &Transaction<'_>, limits: &Limits, call: &Call) -> Result<Reply, BindingError> {
    let index = Index::open(database, &call.binding)?;
    match call.method.as_str() {
        "insert" => store(database, limits, index, call, "INSERT OR IGNORE"),
        "upsert" => store(database, limits, index, call, "INSERT OR REPLACE"),
        "query" => query(database, &index, call),
        "getByIds" => get_by_ids(database, &index, call),
        "deleteByIds" => delete_by_ids(database, &index, call),
        "describe" => describe(database, &index),
        other => Err(BindingError::refused(format!("a vector index has no method {other}"))),
    }
}

fn store(
    database: &Transaction<'_>,
    limits: &Limits,
    mut index: Index,
    call: &Call,
    verb: &str,
) -> Result<Reply, BindingError> {
    let Vectors { vectors } = arguments::read(&call.arguments)?;
    if vectors.len() > limits.vectors_per_call_max {
        return Err(BindingError::refused(format!(
            "{} takes at most {} vectors in one call; {} were given",
            call.method,
            limits.vectors_per_call_max,
            vectors.len()
        )));
    }
    let sql = format!("{verb} INTO vector VALUES (?, ?, ?, ?, ?)");
    let mut ids = Vec::new();
    for Vector { id, values, namespace, metadata } in vectors {
        index.check(&values)?;
        if index.dimensions == 0 {
            index.dimensions = values.len();
        }
        let metadata = metadata.map(|metadata| metadata.to_string());
        let arguments = params![index.name, id, namespace, to_blob(&values), metadata];
        if database.prepare_cached(&sql)?.execute(arguments)? > 0 {
            ids.push(id);
        }
    }
    database.prepare_cached("INSERT OR REPLACE INTO vector_index VALUES (?, ?, ?)")?.execute(params![
        index.name,
        i64::try_from(index.dimensions).unwrap_or(0),
        index.metric.name()
    ])?;
    Reply::json(&json!({ "count": ids.len(), "ids": ids }))
}

fn query(database: &Transaction<'_>, index: &Index, call: &Call) -> Result<Reply, BindingError> {
    let query: Query = arguments::read(&call.arguments)?;
    if !(1..=TOP_K_MAX).contains(&query.top_k) {
        return Err(BindingError::refused(format!("topK must be between 1 and {TOP_K_MAX}")));
    }
    index.check(&query.vector)?;
    let sql =
        "SELECT id, namespace, vals, metadata FROM vector WHERE name = ? AND (? IS NULL OR namespace = ?)";
    let mut statement = database.prepare_cached(sql)?;
    let mut found = Vec::new();
    for row in statement.query_map(params![index.name, query.namespace, query.namespace], vector_of)? {
        let vector = row?;
        if query.filter.as_ref().is_none_or(|filter| passes(filter, vector.metadata.as_ref())) {
            found.push((index.metric.score(&query.vector, &vector.values), vector));
        }
    }
    found.sort_by(|(a, _), (b, _)| index.metric.order(*a, *b));
    found.truncate(usize::try_from(query.top_k).unwrap_or(0));
    let matches: Vec<Value> = found
        .into_iter()
        .map(|(score, vector)| {
            let mut found = described(vector, query.return_values, query.return_metadata);
            found.insert("score".to_string(), json!(score));
            Value::Object(found)
        })
        .collect();
    Reply::json(&json!({ "count": matches.len(), "matches": matches }))
}

// A filter names fields (with dots inside objects) and what they must be: a value, or `{ $eq, $ne, $in, $nin, $lt, .. }`.
fn passes(filter: &Map<String, Value>, metadata: Option<&Value>) -> bool {
    filter.iter().all(|(path, wanted)| {
        let found =
            metadata.and_then(|metadata| path.split('.').try_fold(metadata, |value, name| value.get(name)));
        match wanted {
            Value::Object(operators) => {
                operators.iter().all(|(operator, operand)| compare(operator, found, operand))
            }
            value => found == Some(value),
        }
    })
}

fn compare(operator: &str, found: Option<&Value>, operand: &Value) -> bool {
    let ordered = |accepted: fn(Ordering) -> bool| {
        let order = match (found, operand) {
            (Some(Value::Number(found)), Value::Number(operand)) => {
                found.as_f64().zip(operand.as_f64()).and_then(|(found, operand)| found.partial_cmp(&operand))
            }
            (Some(Value::String(found)), Value::String(operand)) => Some(found.cmp(operand)),
            _ => None,
        };
        order.is_some_and(accepted)
    };
    let listed = || operand.as_array().is_some_and(|list| found.is_some_and(|found| list.contains(found)));
    match operator {
        "$eq" => found == Some(operand),
        "$ne" => found != Some(operand),
        "$in" => listed(),
        "$nin" => !listed(),
        "$lt" => ordered(Ordering::is_lt),
        "$lte" => ordered(Ordering::is_le),
        "$gt" => ordered(Ordering::is_gt),
        "$gte" => ordered(Ordering::is_ge),
        _ => false,
    }
}

struct Stored {
    id: String,
    namespace: Option<String>,
    values: Vec<f32>,
    metadata: Option<Value>,
}

fn vector_of(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        id: row.get(0)?,
        namespace: row.get(1)?,
        values: from_blob(&row.get::<_, Vec<u8>>(2)?),
        metadata: row.get::<_, Option<String>>(3)?.and_then(|text| serde_json::from_str(&text).ok()),
    })
}

fn described(vector: Stored, values: bool, metadata: bool) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("id".to_string(), json!(vector.id));
    if let Some(namespace) = vector.namespace {
        object.insert("namespace".to_string(), json!(namespace));
    }
    if values {
        object.insert("values".to_string(), json!(vector.values));
    }
    if let Some(found) = vector.metadata.filter(|_| metadata) {
        object.insert("metadata".to_string(), found);
    }
    object
}

fn get_by_ids(database: &Transaction<'_>, index: &Index, call: &Call) -> Result<Reply, BindingError> {
    let Ids { ids } = arguments::read(&call.arguments)?;
    let mut statement = database
        .prepare_cached("SELECT id, namespace, vals, metadata FROM vector WHERE name = ? AND id = ?")?;
    let mut found = Vec::new();
    for id in &ids {
        if let Some(vector) = statement.query_row(params![index.name, id], vector_of).optional()? {
            found.push(Value::Object(described(vector, true, true)));
        }
    }
    Reply::json(&found)
}

fn delete_by_ids(database: &Transaction<'_>, index: &Index, call: &Call) -> Result<Reply, BindingError> {
    let Ids { ids } = arguments::read(&call.arguments)?;
    let mut statement = database.prepare_cached("DELETE FROM vector WHERE name = ? AND id = ?")?;
    let mut deleted = Vec::new();
    for id in ids {
        if statement.execute(params![index.name, id])? > 0 {
            deleted.push(id);
        }
    }
    Reply::json(&json!({ "count": deleted.len(), "ids": deleted }))
}

fn describe(database: &Transaction<'_>, index: &Index) -> Result<Reply, BindingError> {
    let count: i64 = database
        .prepare_cached("SELECT count(*) FROM vector WHERE name = ?")?
        .query_row([&index.name], |row| row.get(0))?;
    let config = json!({ "dimensions": index.dimensions, "metric": index.metric.name() });
    Reply::json(&json!({ "id": index.name, "name": index.name, "config": config, "vectorsCount": count }))
}

fn to_blob(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn from_blob(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_their_metric() {
        let (a, b) = ([1.0, 0.0], [1.0, 1.0]);
        assert!((Metric::Cosine.score(&a, &b) - std::f64::consts::FRAC_1_SQRT_2).abs() < 1e-9);
        assert_eq!(Metric::Cosine.score(&a, &[0.0, 0.0]), 0.0);
        assert_eq!(Metric::Euclidean.score(&a, &b), 1.0);
        assert_eq!(Metric::DotProduct.score(&[2.0, 3.0], &b), 5.0);
        assert_eq!(Metric::Euclidean.order(1.0, 2.0), Ordering::Less);
        assert_eq!(Metric::Cosine.order(1.0, 2.0), Ordering::Greater);
    }

    #[test]
    fn filters_look_into_metadata() {
        let metadata = json!({ "year": 1999, "by": { "name": "Ada" } });
        let passes = |filter: Value| passes(filter.as_object().unwrap(), Some(&metadata));
        assert!(passes(json!({ "year": 1999, "by.name": "Ada" })));
        assert!(passes(
            json!({ "year": { "$gte": 1999, "$lt": 2000 }, "by.name": { "$in": ["Ada", "Eve"] } })
        ));
        assert!(!passes(json!({ "year": { "$ne": 1999 } })));
        assert!(!passes(json!({ "missing": 1 })));
        assert!(!passes(json!({ "year": { "$unknown": 1 } })));
    }
}
