"""The users of a shared web page: who may sign in, what they may see, and what they downloaded."""

from features.lazy_exports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "command": ["users"],
        "roles": ["may_open", "record_download", "visitor"],
        "sign_in": ["SIGN_IN", "SIGN_OUT", "AccountDoor", "Accounts", "SignIn", "open_accounts"],
    },
)
