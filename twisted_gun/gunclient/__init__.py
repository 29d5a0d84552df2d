"""The parts of ``twistd gunclient``, a client that runs for long; `twisted_gun.tap` is where twistd finds it."""
