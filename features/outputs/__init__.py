"""The output folder of a business: where each file lies, and the manifests that say what it holds."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "layout": [
            "MEASUREMENT",
            "OutputFolder",
            "PLAN_MANIFEST",
            "PLAN_TABLE",
            "SCORE_MANIFEST",
            "UPLIFT_MANIFEST",
            "cutoff_name",
            "cutoff_of",
            "plan_name",
        ],
        "manifest_entries": ["Count", "Part", "ScoringModel"],
        "manifests": [
            "Manifest",
            "Measurement",
            "MonitoringRecord",
            "NightRecord",
            "OVERLAP",
            "OtherFormatError",
            "PlanManifest",
            "SAME_DRAW",
            "SAMPLE_RATIO",
            "ScoreManifest",
            "SegmentManifest",
            "SupersededPlan",
            "UpliftManifest",
            "manifest_text",
            "read_manifest",
            "read_required_manifest",
            "rewriting_advice",
        ],
        "ownership": ["require_output_folder"],
        "parquet_rows": ["ParquetRows", "open_parquet_rows", "parquet_paths"],
        "parquet_files": ["open_parquet", "read_parquet"],
    },
)
