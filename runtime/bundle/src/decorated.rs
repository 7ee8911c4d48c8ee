//! The order of legacy decorators: those of instance members are evaluated before those of static ones, as TypeScript
//! does it. swc evaluates them as the members stand, so that the members are put into that order.

use swc_ecma_ast::{Class, ClassMember, Expr, Key};
use swc_ecma_visit::{VisitMut, VisitMutWith, noop_visit_mut_type};

use crate::fields::is_evaluated;

/// The visitor.
pub(crate) struct InstanceFirst;

impl VisitMut for InstanceFirst {
    noop_visit_mut_type!();

    fn visit_mut_expr(&mut self, expr: &mut Expr) {
        stacker::maybe_grow(64 * 1024, 1024 * 1024, || expr.visit_mut_children_with(self));
    }

    fn visit_mut_class(&mut self, class: &mut Class) {
        class.visit_mut_children_with(self);
        let first_static = class.body.iter().position(|member| is_decorated(member) && is_static(member));
        let last_instance = class.body.iter().rposition(|member| is_decorated(member) && !is_static(member));
        // Computed keys are evaluated as the members stand, which anyone can see.
        if first_static < last_instance && first_static.is_some() && !class.body.iter().any(has_computed_key)
        {
            class.body.sort_by_key(is_static);
        }
    }
}

fn is_static(member: &ClassMember) -> bool {
    match member {
        ClassMember::Method(method) => method.is_static,
        ClassMember::PrivateMethod(method) => method.is_static,
        ClassMember::ClassProp(property) => property.is_static,
        ClassMember::PrivateProp(property) => property.is_static,
        ClassMember::AutoAccessor(accessor) => accessor.is_static,
        ClassMember::StaticBlock(_) => true,
        ClassMember::Constructor(_) | ClassMember::TsIndexSignature(_) | ClassMember::Empty(_) => false,
    }
}

fn is_decorated(member: &ClassMember) -> bool {
    match member {
        ClassMember::Method(method) => {
            let params = &method.function.params;
            let on_params = params.iter().any(|param| !param.decorators.is_empty());
            on_params || !method.function.decorators.is_empty()
        }
        ClassMember::ClassProp(property) => !property.decorators.is_empty(),
        ClassMember::AutoAccessor(accessor) => !accessor.decorators.is_empty(),
        _ => false,
    }
}

fn has_computed_key(member: &ClassMember) -> bool {
    let key = match member {
        ClassMember::Method(method) => &method.key,
        ClassMember::ClassProp(property) => &property.key,
        ClassMember::AutoAccessor(accessor) => match &accessor.key {
            Key::Public(name) => name,
            Key::Private(_) => return false,
        },
        _ => return false,
    };
    is_evaluated(key)
}
