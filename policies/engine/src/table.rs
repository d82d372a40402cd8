//! From policies to decisions: Cedar evaluates every combination that can be asked, once.
//!
//! A request tells the caller's role, the action, and whether the record is the caller's own. The
//! role of *another* owner it does not tell; that no rule depends on it is checked by evaluating
//! with every role in its place.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::ffi::DetailedError;
use cedar_policy::{
    Authorizer, Context, Decision as CedarDecision, Entities, Entity, EntityId, EntityTypeName,
    EntityUid, PolicySet, Request, RestrictedExpression, Schema,
};

use crate::{ACTIONS_MAX, Cell, Decision, PolicyError, ROLES};

/// The stand-in for whoever asks. Rules cannot name a member, so that its name has no influence.
const CALLER: &str = "caller";
/// The stand-in for another owner.
const ANOTHER: &str = "another";

/// The entity types of the schema, and the policies.
struct Bench<'a> {
    schema: &'a Schema,
    policies: &'a PolicySet,
    role: EntityTypeName,
    member: EntityTypeName,
    record: EntityTypeName,
}

/// Every decision, by role and then by action.
pub(crate) fn work_out(
    schema: &Schema,
    policies: &PolicySet,
) -> Result<BTreeMap<&'static str, BTreeMap<String, Cell>>, PolicyError> {
    let bench = Bench {
        schema,
        policies,
        role: type_name("Role")?,
        member: type_name("Member")?,
        record: type_name("Record")?,
    };
    let actions: BTreeSet<EntityUid> = schema.actions().cloned().collect();
    if actions.is_empty() || actions.len() > ACTIONS_MAX {
        let detail = format!(
            "it has {} actions, where 1 to {ACTIONS_MAX} may be",
            actions.len()
        );
        return Err(PolicyError::SchemaUnfit { detail });
    }
    let mut decisions = BTreeMap::new();
    for role in ROLES {
        let own = bench.entities(role, None)?;
        let others = ROLES
            .iter()
            .map(|owner| bench.entities(role, Some(owner)))
            .collect::<Result<Vec<_>, _>>()?;
        let mut of_role = BTreeMap::new();
        for action in &actions {
            let cell = bench.cell(role, action, &own, &others)?;
            of_role.insert(action.id().unescaped().to_owned(), cell);
        }
        decisions.insert(role, of_role);
    }
    Ok(decisions)
}

impl Bench<'_> {
    fn cell(
        &self,
        role: &str,
        action: &EntityUid,
        own: &Entities,
        others: &[Entities],
    ) -> Result<Cell, PolicyError> {
        let own = self.evaluate(role, action, own)?;
        let mut other: Option<Decision> = None;
        for entities in others {
            let decision = self.evaluate(role, action, entities)?;
            if other.as_ref().is_some_and(|first| *first != decision) {
                return Err(PolicyError::DependsOnOwner {
                    role: role.to_owned(),
                    action: action.id().unescaped().to_owned(),
                });
            }
            other = Some(decision);
        }
        let other = other.unwrap_or(Decision {
            allowed: false,
            reasons: Vec::new(),
        });
        Ok(Cell { own, other })
    }

    /// Asks Cedar. A rule that fails to evaluate would be skipped by Cedar, a forbidding one too;
    /// here it fails the load.
    fn evaluate(
        &self,
        role: &str,
        action: &EntityUid,
        entities: &Entities,
    ) -> Result<Decision, PolicyError> {
        let undecidable = |detail: String| PolicyError::Undecidable {
            role: role.to_owned(),
            action: action.id().unescaped().to_owned(),
            detail,
        };
        let request = Request::new(
            uid(&self.member, CALLER),
            action.clone(),
            uid(&self.record, "record"),
            Context::empty(),
            Some(self.schema),
        )
        .map_err(|error| undecidable(DetailedError::from(&error).message))?;
        let response = Authorizer::new().is_authorized(&request, self.policies, entities);
        let errors: BTreeSet<String> = response
            .diagnostics()
            .errors()
            .map(ToString::to_string)
            .collect();
        if !errors.is_empty() {
            return Err(undecidable(
                errors.into_iter().collect::<Vec<_>>().join("; "),
            ));
        }
        // Cedar keeps the reasons in a hash set, whose order differs from run to run.
        let reasons: BTreeSet<String> = response
            .diagnostics()
            .reason()
            .map(ToString::to_string)
            .collect();
        Ok(Decision {
            allowed: response.decision() == CedarDecision::Allow,
            reasons: reasons.into_iter().collect(),
        })
    }

    /// The caller, in its role, and a record that it owns or, if `other_owner` is given, that a
    /// member of that role owns.
    fn entities(&self, role: &str, other_owner: Option<&str>) -> Result<Entities, PolicyError> {
        let owner = uid(
            &self.member,
            if other_owner.is_none() {
                CALLER
            } else {
                ANOTHER
            },
        );
        let mut all = vec![
            self.member(CALLER, role)?,
            Entity::new_with_tags(
                uid(&self.record, "record"),
                [(
                    "owner".to_owned(),
                    RestrictedExpression::new_entity_uid(owner),
                )],
                [],
                [],
            )
            .map_err(|error| unfit(&error))?,
        ];
        if let Some(other_role) = other_owner {
            all.push(self.member(ANOTHER, other_role)?);
        }
        Entities::from_entities(all, Some(self.schema)).map_err(|error| unfit(&error))
    }

    fn member(&self, name: &str, role: &str) -> Result<Entity, PolicyError> {
        Entity::new_with_tags(uid(&self.member, name), [], [uid(&self.role, role)], [])
            .map_err(|error| unfit(&error))
    }
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

fn type_name(name: &str) -> Result<EntityTypeName, PolicyError> {
    name.parse().map_err(|error| unfit(&error))
}

fn unfit<E>(error: &E) -> PolicyError
where
    for<'a> DetailedError: From<&'a E>,
{
    PolicyError::SchemaUnfit {
        detail: DetailedError::from(error).message,
    }
}
