"""Put ``whosonline.runserver`` into INSTALLED_APPS, and ``runserver`` serves sockets too."""
