"""Whether [contacts] has what measuring plans and learning effects need; known from the config and measured plans."""

from __future__ import annotations

from features.campaigns.measured_plans import read_measured_plans
from features.config.load import Config
from features.config.table_sections import Contacts
from features.errors import RefusedError, UsageError


def require_contacts(config: Config) -> Contacts:
    """Returns the section [contacts], which measuring a plan needs.

    Raises:
        UsageError: There is no such section.
    """
    if config.contacts is None:
        raise UsageError(
            "the config has no [contacts]: a plan is measured by the contacts actually sent; name the table of contacts"
        )
    return config.contacts


def require_uplift_contacts(config: Config) -> Contacts:
    """Returns the section [contacts], after checking that effects can be learned from it.

    Raises:
        UsageError: There is no such section or no control, or the log has only subscriptions.
        RefusedError: It names no propensity, no plan was measured, and the config does not accept an observational
            estimate.
    """
    section, accepted = config.contacts, config.uplift.observational
    if section is None:
        raise UsageError(
            "there is no [contacts]: the effects of actions are learned from past contacts; name the table of contacts"
        )
    if config.only_subscriptions:
        raise UsageError(
            "[events] is not given: effects of actions are measured on purchases, and subscriptions show none; "
            "name the table of events"
        )
    if not section.propensity and not accepted and not read_measured_plans(config):
        raise RefusedError(
            "[contacts] propensity is not set, so nothing says that contacts were assigned at random: customers chosen "
            "for an action may differ from the others in what they would have bought anyway. Name the column with the "
            "probability of each contact's action, or measure a plan (`regulars measure`): its holdout is randomised, "
            "or accept an observational estimate, marked as such everywhere: [uplift] observational = true"
        )
    if not section.control and not accepted and section.propensity:
        raise UsageError(
            "[contacts] control is not set: an effect is the difference from customers to whom nothing was done; add "
            "these customers to the contacts, as plans do with their holdout, and name their action in control"
        )
    return section
