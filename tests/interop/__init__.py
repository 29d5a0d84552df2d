"""Against other people's servers, on 127.0.0.1; where one is not installed, its tests are skipped, and say so."""
