"""The lobby's pages: Django's own views for accounts, and the list of all users."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib.auth import login
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import LogoutView, PasswordChangeView
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import redirect
from django.urls import reverse, reverse_lazy
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import CreateView, TemplateView, View

from whosonline import presence
from whosonline.conf import get_settings
from whosonline.core.search import LONGEST
from whosonline.stores.errors import StoreUnavailable

from .forms import SignUpForm
from .people import Everyone, OnlineNow, Source, Stretch
from .rows import count_and_rows, count_and_rows_online

PAGE = 50
"""Users on one page of the list."""

EVERYONE, ONLINE = "everyone", "online"
"""The two views of the list."""


@method_decorator([sensitive_post_parameters("password1", "password2"), never_cache], name="dispatch")
class SignUp(CreateView):
    """Makes an account, and logs it in."""

    form_class = SignUpForm
    template_name = "registration/sign_up.html"
    success_url = reverse_lazy("list")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if request.user.is_authenticated:
            return redirect("list")
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        login(self.request, self.object, backend="django.contrib.auth.backends.ModelBackend")
        return response


class LogOut(LogoutView):
    """Logs out by POST; a GET shows the button that does."""

    http_method_names = ["get", "post", "head", "options"]
    template_name = "registration/log_out.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return redirect("log_in")
        return self.render_to_response({})


class ChangePassword(PasswordChangeView):
    """Asks for the old password and for a new one. Sessions elsewhere end with it."""

    template_name = "registration/change_password.html"
    success_url = reverse_lazy("list")


class SwitchVisibility(LoginRequiredMixin, View):
    """Has the visitor appear offline to the others (``invisible=1``), or not any more (``0``).

    Which of both the page says: a page that is behind must not switch it the wrong way.
    """

    http_method_names = ["get", "post", "options"]

    def get(self, request: HttpRequest) -> HttpResponse:
        return redirect("list")  # who had to log in first comes by here

    def post(self, request: HttpRequest) -> HttpResponse:
        wanted = request.POST.get("invisible")
        if wanted not in {"0", "1"}:
            return HttpResponseBadRequest("invisible must be 0 or 1")
        presence.set_invisible(request.user.pk, wanted == "1")
        return redirect("list")


# Never cached: after a log-out the browser's Back must not show the list.
@method_decorator(never_cache, name="dispatch")
class UserList(LoginRequiredMixin, TemplateView):
    """A page of all users, or of those online now (``view=online``), whom a search finds (``q=``).

    It begins after a name key (``after=``), or ends before one (``before=``); never by number.
    """

    template_name = "lobby/list.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.view = ONLINE if request.GET.get("view") == ONLINE else EVERYONE
        self.invisible = presence.is_invisible(request.user.pk)
        self.query = " ".join(self._parameter("q").split())[:LONGEST]
        away = False
        try:
            stretch, count, rows = self._page()
            away = any(row.status is None for row in rows)
            if not rows and (self._parameter("after") or self._parameter("before")):
                return redirect(self._address())  # beyond the ends of the list
        except StoreUnavailable:
            stretch, count, rows, away = Stretch([], None, None), None, [], True
        context = {
            "view": self.view,
            "query": self.query,
            "rows": rows,
            "invisible": self.invisible,
            "count": count,
            "away": away,
            "as_last_known": presence.as_last_known(),
            "stretch": stretch,
            "everyone": self._address(view=EVERYONE),
            "online": self._address(view=ONLINE),
            "previous": self._address(before=rows[0].key) if rows and stretch.after is not None else None,
            "next": self._address(after=stretch.until) if stretch.until is not None else None,
        }
        return self.render_to_response(self.get_context_data(**context))

    def _page(self) -> tuple[Stretch, int | None, list[Any]]:
        policy, visitor = get_settings().policy, self.request.user
        # What the page shows it also watches.
        if self.view == ONLINE:
            stretch = self._stretch(
                OnlineNow(self.query, None if self.invisible else visitor, visitor.pk),
                min(PAGE, policy.page_limit),
            )
            shown = None if self.invisible else visitor
            return stretch, *count_and_rows_online(stretch.people, shown, visitor.pk)
        stretch = self._stretch(Everyone(self.query, visitor.pk), min(PAGE, policy.watched_users))
        return stretch, *count_and_rows(stretch.people, visitor, self.invisible)

    def _stretch(self, source: Source[Any], limit: int) -> Stretch:
        if before := self._parameter("before"):
            return source.before(before, limit)
        return source.after(self._parameter("after") or None, limit)

    def _address(self, **parts: str) -> str:
        """Return the address of a page of this view and search, or of another view."""
        parts = {"view": self.view, "q": self.query, **parts}
        if parts["view"] == EVERYONE:
            del parts["view"]
        query = urlencode({name: part for name, part in parts.items() if part})
        return f"{reverse('list')}?{query}" if query else reverse("list")

    def _parameter(self, name: str) -> str:
        # No name holds a NUL, and PostgreSQL refuses to compare with one.
        return self.request.GET.get(name, "").replace("\0", "")
