"""How the site's static files are kept."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedModulesStorage(CompressedManifestStaticFilesStorage):
    """WhiteNoise's storage, with the imports between JavaScript modules hashed too: else a browser mixes those of two versions."""

    support_js_module_import_aggregation = True
