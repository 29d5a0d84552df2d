"""A plugin of pytest's: whatever crawl a test makes, it downloads by our handler, unless it names another."""

from __future__ import annotations

from scrapy.settings import default_settings

HANDLER = "twisted_gun.scrapy.GunDownloadHandler"

for _scheme in ("http", "https"):
    default_settings.DOWNLOAD_HANDLERS_BASE[_scheme] = HANDLER
