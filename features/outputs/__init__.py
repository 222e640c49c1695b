"""The output folder of a business: where each file lies, and the manifests that say what it holds."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "layout": ["OutputFolder", "cutoff_name", "plan_name"],
        "manifests": ["PlanManifest", "ScoreManifest", "SegmentManifest", "manifest_text", "read_manifest"],
    },
)
