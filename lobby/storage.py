"""Where static files come from in production."""

from __future__ import annotations

from whitenoise.storage import CompressedManifestStaticFilesStorage


class ModulesStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Names what a script imports by its content too: a browser never mixes modules of two versions."""

    support_js_module_import_aggregation = True
