"""All campaigns so far: what each promised and brought, what is believed of each action, and what to try next."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "overview": ["Campaign", "CampaignOverview", "list_campaigns"],
        "sharing": ["SharedPlans", "share_money", "shared_plans_text"],
        "tables": ["campaigns_csv", "overview_document"],
        "text": ["campaigns_text", "formatted_campaigns"],
        "wording": ["belief_rows", "campaign_rows", "finding_sentences", "next_step_sentences"],
    },
)
