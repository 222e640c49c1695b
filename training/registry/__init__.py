"""MLflow: runs, registered models, aliases, promotion gates, model cards."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "aliases": [
            "CHALLENGER",
            "CHAMPION",
            "ChampionChange",
            "promote_challengers",
            "roll_back_champions",
            "set_champions",
            "version_with_alias",
        ],
        "champion_challenger": ["CurrentChampions", "TITLES"],
        "compatibility": ["is_outdated", "learned_until", "refuse_outdated"],
        "lineage": ["ModelLineage", "read_model_lineage"],
        "mlflow_tracking": [
            "as_usage_errors",
            "connect_to_mlflow",
            "quiet_mlflow",
            "require_tracking_server",
            "without_credentials",
        ],
        "model_card": ["model_card_text"],
        "models": [
            "Champion",
            "DIGEST_TAG",
            "REQUIRED_PACKAGES",
            "RegisteredVersion",
            "load_champion",
            "load_evaluation",
            "load_run_params",
            "log_and_register",
            "named_model_errors",
        ],
        "promotion_gates": ["AlikeChallengers", "PromotionDecision", "decide_promotion", "gates_text"],
        "provenance": ["code_version", "package_version", "runtime_environment"],
        "run_record": [
            "ALIKE",
            "CARD_FILE",
            "SHARE",
            "TrainingRecord",
            "config_without_credentials",
            "load_training_record",
            "save_training_record",
        ],
        "winback_models": ["FADE", "winback_config", "winback_kind"],
        "tracking_store": [
            "ARTIFACTS",
            "no_champion_error",
            "require_store_for_champion",
            "store_file",
            "tracking_uri",
        ],
    },
)
