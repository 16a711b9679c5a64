from django.conf import settings
from django.db import migrations, models

import whosonline.models


class Migration(migrations.Migration):
    initial = True

    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.CreateModel(
            name="LastSeen",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=whosonline.models.with_the_user,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("at", models.DateTimeField(verbose_name="last seen")),
            ],
            options={"verbose_name": "last seen", "verbose_name_plural": "last seen"},
        ),
    ]
