"""Files on this machine: atomic writes, locks, JSON, temporary folders, paths of users, and errors of the system."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "atomic_files": [
            "atomic_file",
            "atomic_folder",
            "leftovers_of",
            "refuse_other_kind",
            "replace_folder",
            "report_write_errors",
            "write_new_text",
            "write_text_atomically",
        ],
        "file_locks": ["exclusive_lock"],
        "json_files": [
            "CHECKSUM",
            "document_text",
            "file_digest",
            "has_digest",
            "has_valid_checksum",
            "json_digest",
            "json_line",
            "read_json",
            "read_object",
            "with_checksum",
        ],
        "private_folders": ["SCRATCH_NAME", "ScratchFolder", "abandoned", "in_use", "remove_abandoned", "remove_path"],
        "system_errors": ["SCRATCH_PREFIX", "causes_of", "explain_system_error"],
        "user_paths": ["real_path", "user_path"],
    },
)
